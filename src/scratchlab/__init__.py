"""The exercises of Appendix C of Build a Large Language Model (From Scratch) as typed, checkable runs."""

__version__ = "0.1.0"
