"""The toy case of notebook 05: three points of a teacher and of a student, and how they look."""

Places = list[list[float]]
NAMES = ("A", "B", "C")
COLOURS = {"teacher": "#D55E00", "student": "#BF5B96", "distance": "#009E73", "angle": "#8B6B3D"}
REACH = 2.2  # how far from 0 a point may lie
# The teacher on a line; the student is the 3-4-5 triangle, three quarters of it.
START: dict[str, Places] = {
    "teacher": [[-1.5, 0.0], [0.0, 0.0], [1.5, 0.0]],
    "student": [[-1.5, -1.5], [0.75, -1.5], [-1.5, 1.5]],
}
