"""Rare failures, made and judged. (map follows)"""
