"""Mistakes planted one at a time into the library: does a verdict or a test notice?"""
