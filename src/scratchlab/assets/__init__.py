"""Files from outside: `catalogue` declares them, `fetch` has them."""
