"""Phrases: the text of explanations in each language; backticks mark code and formulas."""

from __future__ import annotations

ENGLISH = {
    "lang": "en",
    "weight": "The gradient of {name}[{place}]: `{symbol}` is the weight from input {i} to sum {j} of layer "
    "{layer}, `{what}`.",
    "bias": "The gradient of {name}[{place}]: `{symbol}` is the bias in sum {j} of layer {layer}, `{what}`.",
    "entry": "The gradient of {name}[{place}]: `{symbol}` belongs to layer {layer}, `{what}`.",
    "indices": "Subscripts are layer numbers, numbers in brackets are indices; both start at 0.",
    "rest": "`…` abbreviates the terms between, taken together.",
    "omitted": "`…` stands for the {count} terms between, taken together.",
    "terms": "`{z}` goes into entries of `{y}`, and its gradient is the sum of what these pass back:",
    "terms of x": "Each entry of `{x}` goes into entries of `{y}`, which pass its gradient back:",
    "loss": "The loss is `{loss}`, where `{target}` is the target:",
    "labels": "`t` is 1 for the label and 0 for every other class.",
    "loss number": "The loss is `{loss}`; it declares no formula, so only its value is shown:",
    "loss of images": "The loss is `{loss}`, of outputs of shape {shape}; only its value is shown:",
    "error of images": "Its derivative with respect to `{output}` is taken from the pass:",
    "coefficients": "`k` is the target after label smoothing and class weights.",
    "counts": "`c` is the weight of the label's class, by which the mean is divided.",
    "largest": "`m`, the largest output, is subtracted before exp to prevent overflow; `p` is unchanged.",
    "error": "Its derivative with respect to `{output}`:",
    "error signal": "Its derivative with respect to `{output}`, the error signal of layer {layer}:",
    "error number": "It has no derivative_formula, so its derivative is taken from the pass:",
    "opaque": "Layer {layer}, `{what}`, is neither a Linear nor an Activation and cannot be written out. The gradient "
    "that it passes back is taken from the pass:",
    "wide": "In layer {layer}, `{what}`, each of these goes into more outputs than can be followed. The gradient that "
    "it passes back is taken from the pass:",
    "through": "Back through layer {layer}, `{what}`.",
    "container": "The layer that contains layer {layer} cannot be written out. The gradient that it passes back is "
    "taken from the pass:",
    "activation": "Back through layer {layer}, `{what}`, where `{output} = f({input})`:",
    "activation to sums": "Back through layer {layer}, `{what}`, where `{output} = f({input})`, to the error signal "
    "of layer {below}:",
    "derivative number": "`{what}` has no derivative_formula, so only the value of `f′` is shown.",
    "linear": "Back through layer {layer}, `{what}`, where `{input}` goes into every sum `{output}`, with the "
    "weight `{weight}`:",
    "linear to sums": "Back through layer {layer}, `{what}`, where `{input}` goes into every sum `{output}`, with "
    "the weight `{weight}`, to the error signal of layer {below}:",
    "weight end": "`{symbol}` appears only in the sum `{sum}`, in the term `{symbol} × {input}`:",
    "bias end": "`{symbol}` appears only in the sum `{sum}`, as a separate term:",
    "not linear": "The gradient of {name}[{place}]: layer {layer}, `{what}`, is not a Linear, so it is not written "
    "out. Its value in the pass:",
    "not in a layer": "The gradient of {name}[{place}]: it belongs to no layer within the model, so it is not "
    "written out. Its value in the pass:",
    "called again": "The gradient of {name}[{place}]: layer {layer}, `{what}`, is called more than once, so it is a "
    "sum over all calls and is not written out. Its value in the pass:",
    "update": "One step of gradient descent with learning_rate {rate}:",
    "frozen": "It is frozen (trainable is False), so training does not change it. Otherwise, one step of "
    "gradient descent with learning_rate {rate} would be:",
    "pass": "with intermediate rounding to {dtype}, the pass has {number}",
    "disagreement": "the pass has {number}: the formula does not match the function computed",
}

JAPANESE = {
    "lang": "ja",
    "weight": "{name}[{place}] の勾配: `{symbol}` は、層 {layer} の `{what}` における、入力 {i} から和 {j} "
    "への重みです。",
    "bias": "{name}[{place}] の勾配: `{symbol}` は、層 {layer} の `{what}` における、和 {j} のバイアスです。",
    "entry": "{name}[{place}] の勾配: `{symbol}` は、層 {layer} の `{what}` に属します。",
    "indices": "下付きの数字は層の番号、角括弧内の数字は添字を表し、どちらも 0 から始まります。",
    "rest": "`…` は、間の項をまとめて省略したものです。",
    "omitted": "`…` は、間の {count} 項をまとめて省略したものです。",
    "terms": "`{z}` は `{y}` の成分の計算に使われます。勾配は、それらから逆伝播する値の和です。",
    "terms of x": "`{x}` の各成分は `{y}` の成分の計算に使われ、そこから勾配が逆伝播します。",
    "loss": "損失は `{loss}` です。ここで `{target}` は目標値です。",
    "labels": "`t` は、正解のクラスで 1、それ以外のクラスで 0 です。",
    "loss number": "損失は `{loss}` です。formula が定義されていないので、値だけを示します。",
    "loss of images": "損失は `{loss}` です。出力の形状が {shape} なので、値だけを示します。",
    "error of images": "損失の `{output}` による微分には、実際の計算で得た値を使います。",
    "coefficients": "`k` は、ラベル平滑化とクラスの重みを適用した目標値です。",
    "counts": "`c` は正解のクラスの重みで、平均を求めるときはこれで割ります。",
    "largest": "exp のオーバーフローを防ぐため、最大の出力 `m` を引いてから計算します。`p` の値は変わりません。",
    "error": "損失を `{output}` で微分します。",
    "error signal": "損失を `{output}` で微分します。これが層 {layer} の誤差信号です。",
    "error number": "derivative_formula が定義されていないので、微分には実際の計算で得た値を使います。",
    "opaque": "層 {layer} の `{what}` は Linear でも活性化関数でもないので、式に展開できません。"
    "この層から逆伝播する勾配には、実際の計算で得た値を使います。",
    "wide": "層 {layer} の `{what}` では、それぞれが多くの出力に加えられ、すべては追えません。"
    "この層から逆伝播する勾配には、実際の計算で得た値を使います。",
    "through": "層 {layer} の `{what}` を逆伝播します。",
    "container": "層 {layer} を含む外側の層は、式に展開できません。その層から逆伝播する勾配には、"
    "実際の計算で得た値を使います。",
    "activation": "層 {layer} の `{what}` を逆伝播します。ここで `{output} = f({input})` です。",
    "activation to sums": "層 {layer} の `{what}` を逆伝播して、層 {below} の誤差信号を求めます。ここで `{output} = "
    "f({input})` です。",
    "derivative number": "`{what}` には derivative_formula が定義されていないので、`f′` は値だけを示します。",
    "linear": "層 {layer} の `{what}` を逆伝播します。`{input}` は、重み `{weight}` を掛けて、すべての和 `{output}` "
    "に加えられます。",
    "linear to sums": "層 {layer} の `{what}` を逆伝播して、層 {below} の誤差信号を求めます。`{input}` は、重み "
    "`{weight}` を掛けて、すべての和 `{output}` に加えられます。",
    "weight end": "`{symbol}` は、和 `{sum}` の項 `{symbol} × {input}` だけに現れます。",
    "bias end": "`{symbol}` は、和 `{sum}` だけに、単独の項として現れます。",
    "not linear": "{name}[{place}] の勾配: 層 {layer} の `{what}` は Linear ではないので、式に展開しません。"
    "実際の計算で得た値は次のとおりです。",
    "not in a layer": "{name}[{place}] の勾配: モデル内のどの層にも属していないので、式に展開しません。"
    "実際の計算で得た値は次のとおりです。",
    "called again": "{name}[{place}] の勾配: 層 {layer} の `{what}` は、複数回呼び出されます。"
    "勾配はそのすべてについての和になるので、式に展開しません。実際の計算で得た値は次のとおりです。",
    "update": "学習率 {rate} の勾配降下法で 1 回更新します。",
    "frozen": "固定されている (trainable が False) ので、学習では変化しません。固定されていなければ、学習率 {rate} "
    "の勾配降下法による 1 回の更新は次のとおりです。",
    "pass": "途中の値を {dtype} に丸めた実際の計算では {number}",
    "disagreement": "実際の計算で得た値は {number} です。式が、計算された関数と一致していません",
}

LANGUAGES = {"en": ENGLISH, "ja": JAPANESE}
