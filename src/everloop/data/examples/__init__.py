"""Tables to try things with: synthetic customers, iris, and the real flights of 2013."""
