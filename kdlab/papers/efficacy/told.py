"""What each claim of notebook 01 says, and what Cho, Hariharan 2019 has on it."""

TOLD = {  # id -> the claim, the paper
    "bad-teacher": (
        "A teacher can be too large: the largest one teaches worse than a middle one.",
        "ResNet-18: error 30.79 % from ResNet-34, 30.95 % from ResNet-50 (Table 1)",
    ),
    "early-teacher": (
        "After 250 updates, the largest teacher is the better one.",
        "not in the paper; +2.4 points in an earlier version of this notebook, on digits",
    ),
    "too-complex": (
        "Confidence is not why: made as unsure as the middle one, the largest still teaches worse.",
        "a higher temperature changed nothing (Sec. 5.1)",
    ),
    "kd-stop": (
        "A student that leaves the largest teacher part-way beats one that stays.",
        "ResNet-18 from ResNet-50: error 29.35 against 30.95 % (Tables 1, 3)",
    ),
    "es-teacher": (
        "A teacher that stopped early teaches better than one trained 2.5 times as long.",
        "CIFAR-10: teachers of 35 to 80 epochs beat those of 200 (Sec. 5.5)",
    ),
    "below-scratch": (
        "KD from the largest teacher ends below no teacher at all.",
        "ResNet-18: error 30.95 against 30.24 % (Table 1)",
    ),
    "fading": (
        "KD's lead over labels is larger after 250 updates than after 2,000.",
        "ahead at first, behind at the end (Fig. 3)",
    ),
    "confidence": (
        "The largest teacher teaches better once it is as unsure as the middle one.",
        "a higher temperature changed nothing (Sec. 5.1)",
    ),
    "timing": (
        "kd_stop at half-time beats the same weights spread evenly over the training.",
        "not in the paper; control",
    ),
    "long-teachers": (
        "Of two teachers trained 2.5 times as long, too, the largest teaches worse.",
        "not in the paper; control",
    ),
    "mimic": (
        "The student stays farther from the largest teacher than from the middle one.",
        "KD loss and disagreement much higher for the largest (Sec. 5.2)",
    ),
    "capacity": (
        "From the middle to the largest, its distance grows more than that of a wider student.",
        "cause named, no number (Sec. 5.2)",
    ),
    "wide-student": (
        "A student of twice the width, too, learns less from the largest teacher.",
        "CIFAR-10: error falls, then rises with the teacher's size (Fig. 2)",
    ),
    "chain": ("Large to middle to small is as good as large to small.", "about equal (Sec. 5.4)"),
    "imagenet": (
        "kd_stop with an early-stopped ResNet-34 improves ResNet-18 by 1.23 points.",
        "error 29.01 against 30.24 % (Sec. 5.5)",
    ),
}
