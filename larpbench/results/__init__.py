"""Results: the record of a cell, the folder of records, and the tables made of them."""
