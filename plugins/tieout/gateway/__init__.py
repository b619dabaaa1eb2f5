"""The way of Airflow's users to the decisions of people: through its API server, and no other.

A user decides as the person they are on record as (`control.persons.airflow_user`). The API
server has a login of its own, which speaks for its users and is nobody itself
(docs/operations/roles.md).
"""
