"""The parity doctor: does a recording look like what the policy was trained on, and if not, why?"""
