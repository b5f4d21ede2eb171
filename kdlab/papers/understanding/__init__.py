"""Tang, Shivanna, Zhao, Lin, Singh, Chi, Jain 2020, *Understanding and Improving Knowledge
Distillation*, arXiv:2002.03532.
"""

NOTEBOOK = "03_understanding"
