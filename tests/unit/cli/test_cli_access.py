"""`pachy auth` and what commands say to those who may not."""


def test_grants_are_made_shown_and_enforced(pachy) -> None:
    pachy("--principal", "user:ada", "create", "repo", "images")
    pachy("--principal", "user:ada", "auth", "set", "images", "group:lab", "reader")
    assert pachy("auth", "get", "images").rows == [["group:lab", "READER"], ["user:ada", "OWNER"]]
    assert pachy("auth", "get", "images", "--json").documents == [{"group:lab": "READER", "user:ada": "OWNER"}]
    refused = pachy("--principal", "user:bob,group:lab", "delete", "repo", "images", fails=True)
    assert refused.err.startswith("pachy: user:bob (also as group:lab) may not administer repo 'images'")
    assert pachy("list", "repo").rows[0][0] == "images"


def test_a_principal_sees_its_roles(pachy, monkeypatch) -> None:
    pachy("--principal", "user:ada", "create", "repo", "images")
    monkeypatch.setenv("PACHY_PRINCIPAL", "user:bob")
    assert pachy("list", "repo").lines[0].split() == ["NAME", "CREATED", "SIZE", "(MASTER)", "ACCESS", "DESCRIPTION"]
    assert "NONE" in pachy("list", "repo").rows[0]
    assert "Your access:    NONE" in pachy("inspect", "repo", "images").lines


def test_wrong_roles_are_wrong_usage(pachy) -> None:
    assert "'ADMIN' is not one of" in pachy("auth", "set", "images", "user:ada", "ADMIN", fails=True).err
