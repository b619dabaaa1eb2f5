"""The steps of each run in their order, and who runs them: Airflow or a command."""
