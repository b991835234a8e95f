"""The theory of diffnum as a book: every chapter derives its statements with sympy from the code that runs."""
