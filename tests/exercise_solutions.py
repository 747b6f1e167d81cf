"""The solutions of examples/exercises: what belongs in each backward. Try it yourself before you look."""

SOLUTIONS = {
    "Scale": """
        self.gain.grad = (grad * cache).sum(axis=0)
        return grad * self.gain.value
    """,
    "Tanh": """
        return grad * (1 - cache**2)
    """,
    "Linear": """
        self.weight.grad = grad.T @ cache
        self.bias.grad = grad.sum(axis=0)
        return grad @ self.weight.value
    """,
    "Softmax": """
        return cache * (grad - (grad * cache).sum(axis=1, keepdims=True))
    """,
    "LayerNorm": """
        z, deviation = cache
        self.gain.grad = (grad * z).sum(axis=0)
        self.bias.grad = grad.sum(axis=0)
        dz = grad * self.gain.value
        by_mean = dz.mean(axis=1, keepdims=True)
        by_deviation = z * (dz * z).mean(axis=1, keepdims=True)
        return (dz - by_mean - by_deviation) / deviation
    """,
}
