"""Gainsight (NXT): Companies, People, event rows and daily usage, through its REST APIs."""
