"""Scripted peers on the bare SIP stack: they say what a case wants, also what is wrong."""
