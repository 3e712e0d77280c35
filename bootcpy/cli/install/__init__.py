"""The words of `bootc install ...`, and the plan as text."""
