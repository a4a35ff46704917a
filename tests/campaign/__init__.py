"""What is done to the tools by hand and at night: kills, full disks, damaged files, races.

``python -m tests.campaign --help`` has the flags; pytest collects none of it.
"""
