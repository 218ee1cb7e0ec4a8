"""The tutorial's service: Flask with async views and Tortoise ORM, which is set up before each request.

The tutorial opens the database in `before_request` and answers through async views. The routes are those of the
benchmark, on the benchmark's table. It is served by Flask's own server without debugging, as the tutorial starts it.
"""

import asyncio
import logging
import os
from datetime import datetime, timezone

from flask import Flask, jsonify, request
from tortoise import Tortoise, fields
from tortoise.exceptions import IntegrityError
from tortoise.models import Model

URL = os.environ["DATABASE_URL"]
ON_SQLITE = URL.startswith("sqlite:")
# WAL stays in the file; `synchronous` belongs to the connection, so it is part of the URL.
DB_URL = (
    f"sqlite://{URL.removeprefix('sqlite:')}?journal_mode=WAL&synchronous=FULL"
    if ON_SQLITE
    else URL.replace("postgresql://", "asyncpg://")
)


class Milliseconds(fields.BigIntField):
    """Milliseconds since 1970, which is how the table keeps dates on SQLite."""

    def to_python_value(self, value):
        return value if value is None else datetime.fromtimestamp(value / 1000, timezone.utc)

    def to_db_value(self, value, instance):
        return round(value.timestamp() * 1000) if isinstance(value, datetime) else value


DateField = Milliseconds if ON_SQLITE else fields.DatetimeField


class User(Model):
    id = fields.IntField(primary_key=True)
    name = fields.CharField(max_length=50)
    name_key = fields.TextField()
    email = fields.CharField(max_length=100)
    email_key = fields.TextField(unique=True)
    attributes = fields.JSONField()
    version = fields.IntField()
    created_at = DateField()
    updated_at = DateField()

    class Meta:
        table = "users"


app = Flask(__name__)
logging.getLogger("werkzeug").disabled = True


@app.before_request
async def init_orm():
    await Tortoise.init(db_url=DB_URL, modules={"models": [__name__]})


def answer(user, status=200):
    response = jsonify(view(user))
    response.status_code = status
    response.headers["ETag"] = f'"{user.version}"'
    return response


def view(user):
    return {
        "id": user.id,
        "name": user.name,
        "email": user.email,
        "attributes": user.attributes,
        "version": user.version,
        "createdAt": moment(user.created_at),
        "updatedAt": moment(user.updated_at),
    }


def moment(date):
    return date.astimezone(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def problem(status, title):
    return jsonify({"status": status, "title": title}), status


@app.get("/users/<int:id>")
async def get_user(id):
    user = await User.get_or_none(id=id)
    return problem(404, "User not found") if user is None else answer(user)


@app.get("/users")
async def list_users():
    limit, after = request.args.get("limit", 100, int), request.args.get("after", 0, int)
    users = await User.filter(id__gt=after).order_by("id").limit(limit)
    return jsonify([view(user) for user in users])


@app.post("/users")
async def create_user():
    body = request.get_json()
    name, email = body.get("name"), body.get("email")
    if not isinstance(name, str) or not 1 <= len(name) <= 50:
        return problem(422, "name")
    if not isinstance(email, str) or "@" not in email or len(email) > 100:
        return problem(422, "email")
    now = datetime.now(timezone.utc)
    try:
        user = await User.create(
            name=name,
            name_key=name.lower(),
            email=email,
            email_key=email.lower(),
            attributes=body.get("attributes", {}),
            version=1,
            created_at=now,
            updated_at=now,
        )
    except IntegrityError:
        return problem(409, "Email taken")
    response = answer(user, 201)
    response.headers["Location"] = f"/users/{user.id}"
    return response


@app.patch("/users/<int:id>")
async def patch_user(id):
    patch = request.get_json().get("attributes", {})
    while True:
        user = await User.get_or_none(id=id)
        if user is None:
            return problem(404, "User not found")
        version, user.version = user.version, user.version + 1
        user.attributes = merge_patch(user.attributes, patch)
        user.updated_at = datetime.now(timezone.utc)
        changes = {"attributes": user.attributes, "version": user.version, "updated_at": user.updated_at}
        if await User.filter(id=id, version=version).update(**changes):
            return answer(user)


def merge_patch(target, patch):
    """RFC 7396."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = merge_patch(merged.get(name), value)
    return merged


async def require_durable():
    await init_orm()
    query = Tortoise.get_connection("default").execute_query_dict
    journal = (await query("pragma journal_mode"))[0]["journal_mode"]
    synchronous = (await query("pragma synchronous"))[0]["synchronous"]
    if (journal, synchronous) != ("wal", 2):
        raise SystemExit(f"not durable: journal_mode={journal}, synchronous={synchronous}")
    await Tortoise.close_connections()


if __name__ == "__main__":
    if ON_SQLITE:
        asyncio.run(require_durable())
    app.run(host=os.environ["HOST"], port=int(os.environ["PORT"]))
