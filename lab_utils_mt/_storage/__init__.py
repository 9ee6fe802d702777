"""How do readings get into PostgreSQL, from many threads, without being lost?"""
