"""What decides whether a claim held: studies, rules, statistics, figures."""
