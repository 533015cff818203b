"""Formulas such as "y ~ a * b + bs(age, 4)": the matrix of a model from the columns of a table.

`learn_formula` reads a formula with the package formulaic (extra formula) and keeps what it means as plain data: a
`Formula`. `encode_formula` makes the same matrix of any later table without formulaic, and nothing in it is ever
executed: its parts are names, numbers, arithmetic, the functions of one table, and curves that are polynomials between
knots.
"""
