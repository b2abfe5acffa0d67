"""Things that tests of pipelines and of storage backends may use, ours and our users'."""
