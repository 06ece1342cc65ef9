"""The commands that deploy and remove the example, and what they need: the CDK CLI, npm, the page's build."""
