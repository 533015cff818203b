"""One neuron, from its first sum to Newton's method: the whole idea of newtron in plain NumPy.

    python examples/one_neuron.py

The neuron is given the mass x of a penguin and answers with the probability p that the penguin is a male. It has two
parameters, a weight w and an intercept b. Training finds the values of w and b whose answers are the least wrong.
"""

import csv
from pathlib import Path

import numpy as np

# The data: ten Adélie penguins. x is the mass in kg; y is 1 for a male and 0 for a female.
with Path(__file__).with_name("penguins.csv").open(encoding="utf-8") as file:
    rows = [row for row in csv.DictReader(file) if row["species"] == "Adelie" and row["sex"] != "NA"][:10]
x = np.array([float(row["body_mass_g"]) / 1000 for row in rows])
y = np.array([float(row["sex"] == "male") for row in rows])


def forward(w, b):
    """The neuron: a weighted sum z, squeezed into a probability p between 0 and 1 by the sigmoid function."""
    z = w * x + b
    return 1 / (1 + np.exp(-z))


def loss(w, b):
    """How wrong the answers are: minus the logarithm of the probability given to the truth, as a mean over the rows."""
    p = forward(w, b)
    return np.mean(-y * np.log(p) - (1 - y) * np.log(1 - p))


def gradient(w, b):
    """The slopes of the loss, by the chain rule: dL/dw = dL/dp · dp/dz · dz/dw, and the same for b."""
    p = forward(w, b)
    dL_dp = (p - y) / (p * (1 - p))  # the derivative of the two logarithms
    dp_dz = p * (1 - p)  # the slope of the sigmoid function
    dz_dw, dz_db = x, 1
    return np.array([np.mean(dL_dp * dp_dz * dz_dw), np.mean(dL_dp * dp_dz * dz_db)])


def hessian(w, b):
    """How the slopes change, by the chain rule again: dL/dp · dp/dz is p - y, and its derivative by z is p (1 - p)."""
    p = forward(w, b)
    s = p * (1 - p)
    return np.array([[np.mean(s * x * x), np.mean(s * x)], [np.mean(s * x), np.mean(s)]])


def gradient_descent(steps, rate=0.1):
    """Each step goes downhill: against the gradient, by as much as the learning rate says."""
    at = np.zeros(2)
    for _ in range(steps):
        at = at - rate * gradient(*at)
    return at


def newton(steps):
    """Each step goes to the lowest point of the parabola that has the loss's value, slopes and curvature here."""
    at = np.zeros(2)
    for _ in range(steps):
        at = at - np.linalg.solve(hessian(*at), gradient(*at))
    return at


if __name__ == "__main__":
    # Is the chain rule right? The slope is also the difference of two losses, divided by the distance between them.
    h = 1e-5
    print(f"dL/dw at w = b = 0   {gradient(0, 0)[0]:.9f} by the chain rule")
    print(f"                     {(loss(h, 0) - loss(-h, 0)) / (2 * h):.9f} by a difference")
    for method, counts in ((gradient_descent, (1, 10, 100, 1000, 10_000)), (newton, range(1, 9))):
        print(f"\n{method.__name__:>16} steps            w             b          loss")
        for steps in counts:
            w, b = method(steps)
            print(f"{steps:22,} {w:12.9f} {b:13.9f} {loss(w, b):13.9f}")
    print("\nThe probability of a male, by mass:")
    for mass, p in sorted(zip(x, forward(*newton(8)), strict=True)):
        print(f"  {mass:.3f} kg  {p:.3f}  |{'#' * round(40 * p)}")
