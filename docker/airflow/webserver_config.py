"""What the stack's API server knows of logins (FAB): names and passwords in Airflow's database.

It lies in the image, where no task can write: Airflow runs it as a program. For an identity
provider of your own (OAuth, LDAP) mount another file in its place and keep the last two lines.
"""

from flask_appbuilder.const import AUTH_DB

AUTH_TYPE = AUTH_DB
# Nobody makes a user of themselves, and whoever is not logged in has no role.
AUTH_USER_REGISTRATION = False
AUTH_ROLE_PUBLIC = None
