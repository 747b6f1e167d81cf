/* Floor: what plain C takes, one sample a step. Ours below is a net of sigmoid layers trained by SGD in loops that the
   compiler can turn into vectors; the two walks take the steps of FANN and Genann, which bring their own nets.
   c_peers.py compiles this file, with REAL as float or double. */

#include <tgmath.h>

/* What w is for one layer: its weights, a row for each unit, and then its biases. */
void ours(const int *sizes, int layers, REAL *w, REAL *outputs, REAL *signals, const REAL *x, const REAL *target,
          const long *order, long samples, REAL rate)
{
    int last = sizes[layers];
    for (long s = 0; s < samples; s++) {
        REAL *y = outputs, *row = w;
        for (int i = 0; i < sizes[0]; i++) y[i] = x[order[s] * sizes[0] + i];
        for (int l = 0; l < layers; l++) {                                      /* y = sigmoid(W x + b) */
            const int in = sizes[l], out = sizes[l + 1];
            REAL *below = y;
            y += in;
            for (int o = 0; o < out; o++, row += in) {
                REAL a = row[(out - o) * in + o];
                for (int i = 0; i < in; i++) a += row[i] * below[i];
                y[o] = 1 / (1 + exp(-a));
            }
            row += out;
        }
        for (int o = 0; o < last; o++) signals[o] = (y[o] - target[order[s] * last + o]) * y[o] * (1 - y[o]);
        REAL *g = signals;
        for (int l = layers - 1; l >= 0; l--) {                                 /* g below = W' g f'(a); W -= rate g x' */
            const int in = sizes[l], out = sizes[l + 1];
            REAL *dx = g + out;
            y -= in;
            row -= out * in + out;
            for (int i = 0; i < in; i++) dx[i] = 0;
            for (int o = 0; o < out; o++) {
                REAL *weights = row + o * in, move = rate * g[o];
                if (l)
                    for (int i = 0; i < in; i++) dx[i] += weights[i] * g[o];
                for (int i = 0; i < in; i++) weights[i] -= move * y[i];
                row[out * in + o] -= move;
            }
            for (int i = 0; i < in; i++) dx[i] *= y[i] * (1 - y[i]);
            g = dx;
        }
    }
}

void walk_fann(void (*step)(void *, const REAL *, const REAL *), void *net, const REAL *x, const REAL *target,
               const long *order, long samples, int in, int out)
{
    for (long s = 0; s < samples; s++) step(net, x + order[s] * in, target + order[s] * out);
}

void walk_genann(void (*step)(void *, const REAL *, const REAL *, double), void *net, const REAL *x,
                 const REAL *target, const long *order, long samples, int in, int out, double rate)
{
    for (long s = 0; s < samples; s++) step(net, x + order[s] * in, target + order[s] * out, rate);
}
