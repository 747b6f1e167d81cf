"""The recurrent layers, which read a sequence (N, T, F) one time after the other.

Read cell (what a kind of layer computes at one time) and passes (the two loops over time, whose matrix products are in
product), then rnn, lstm and gru, each a cell and the layer that is made of it. recurrent is their base: several layers,
both directions, the parts of the input and of the output. span knows where sequences of different lengths end.
"""
