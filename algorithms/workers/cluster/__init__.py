"""A cell through verl's own trainer on Ray: ranks, servers, agent loops and the rows between them."""
