"""Write a report into one comment of a pull request or merge request.

    python3 comment.py REPORT

The comment is found by the first line of the report and by its author, so that a comment of another
author is never changed. The script needs only Python's own library. It reads the token from the
environment, because other users of the machine can see the arguments of a command. The token is
sent to the address of the API only: a redirect is refused.

GitHub: GITHUB_API_URL, GITHUB_REPOSITORY, GITHUB_TOKEN, PIKA_PULL_REQUEST (the number), and
PIKA_COMMENT_AUTHOR if the token is not that of a workflow (github-actions[bot]).
GitLab: CI_API_V4_URL, CI_PROJECT_ID, CI_MERGE_REQUEST_IID, PIKA_GITLAB_TOKEN (scope api).
"""

import json
import os
import sys
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

MOST_PAGES = 100
"""The number of pages of comments that are read at most."""


class NoRedirects(urllib.request.HTTPRedirectHandler):
    """Refuse redirects: `urllib` would send the token to another host, and turn a POST into a GET
    that writes nothing."""

    def redirect_request(self, *_: Any) -> None:
        """Follow no redirect, so that the reply is an error."""


OPENER = urllib.request.build_opener(NoRedirects)


class Forge:
    """The comments of one request."""

    headers: dict[str, str]
    comments: str
    update = "PATCH"

    def is_own(self, comment: dict[str, Any]) -> bool:
        """Return whether the user of the token wrote a comment."""
        raise NotImplementedError

    def address(self, comment: dict[str, Any]) -> str:
        """Return the address at which a comment is changed."""
        raise NotImplementedError

    def call(self, method: str, url: str, body: dict[str, str] | None = None) -> Any:
        """Send a request; return the reply."""
        data = json.dumps(body).encode() if body else None
        headers = {**self.headers, "Content-Type": "application/json"}
        request = urllib.request.Request(url, data, headers, method=method)
        with OPENER.open(request, timeout=60) as reply:
            return json.load(reply)

    def find(self, marker: str) -> dict[str, Any] | None:
        """Return the own comment that begins with a marker."""
        for page in range(1, MOST_PAGES + 1):
            found = self.call("GET", f"{self.comments}?per_page=100&page={page}")
            for comment in found:
                first = (comment.get("body") or "").partition("\n")[0].strip()
                if first == marker and self.is_own(comment):
                    return dict(comment)
            if len(found) < 100:
                break
        return None

    def put(self, report: str) -> str:
        """Create the comment, or update the existing one."""
        marker = report.partition("\n")[0].strip()
        if not marker.startswith("<!-- pulumi_pika report:"):
            raise SystemExit("error: the file is no report: its first line has no marker")
        comment = self.find(marker)
        if comment is None:
            self.call("POST", self.comments, {"body": report})
            return "wrote the comment"
        self.call(self.update, self.address(comment), {"body": report})
        return "updated the comment"


class GitHub(Forge):
    """The comments of a pull request on GitHub."""

    def __init__(self, env: dict[str, str]) -> None:
        self._issues = f"{env['GITHUB_API_URL']}/repos/{env['GITHUB_REPOSITORY']}/issues"
        self.comments = f"{self._issues}/{int(env['PIKA_PULL_REQUEST'])}/comments"
        self._author = env.get("PIKA_COMMENT_AUTHOR") or "github-actions[bot]"
        self.headers = {
            "Accept": "application/vnd.github+json",
            "Authorization": f"Bearer {env['GITHUB_TOKEN']}",
            "X-GitHub-Api-Version": "2022-11-28",
        }

    def is_own(self, comment: dict[str, Any]) -> bool:
        """Return whether the user of the token wrote a comment."""
        return bool((comment.get("user") or {}).get("login") == self._author)

    def address(self, comment: dict[str, Any]) -> str:
        """Return the address at which a comment is changed."""
        return f"{self._issues}/comments/{comment['id']}"


class GitLab(Forge):
    """The notes of a merge request on GitLab."""

    update = "PUT"

    def __init__(self, env: dict[str, str]) -> None:
        api, project = env["CI_API_V4_URL"], urllib.parse.quote(env["CI_PROJECT_ID"], safe="")
        request = int(env["CI_MERGE_REQUEST_IID"])
        self.comments = f"{api}/projects/{project}/merge_requests/{request}/notes"
        self.headers = {"PRIVATE-TOKEN": env["PIKA_GITLAB_TOKEN"]}
        self._me = self.call("GET", f"{api}/user")["id"]

    def is_own(self, comment: dict[str, Any]) -> bool:
        """Return whether the user of the token wrote a comment."""
        return bool((comment.get("author") or {}).get("id") == self._me)

    def address(self, comment: dict[str, Any]) -> str:
        """Return the address at which a comment is changed."""
        return f"{self.comments}/{comment['id']}"


def main() -> int:
    """Write the report to the request that the environment names."""
    report = Path(sys.argv[1]).read_text(encoding="utf-8")
    env = dict(os.environ)
    try:
        if env.get("PIKA_PULL_REQUEST"):
            said = GitHub(env).put(report)
        elif env.get("CI_MERGE_REQUEST_IID"):
            said = GitLab(env).put(report)
        else:
            said = "there is no pull or merge request to comment on"
    except KeyError as error:
        print(f"error: {error.args[0]} is not set", file=sys.stderr)
        return 2
    except urllib.error.HTTPError as error:
        hint = (
            "; redirects are not followed: name the API's own address" if error.code < 400 else ""
        )
        print(f"error: {error.url}: {error.code} {error.reason}{hint}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"error: the forge cannot be reached: {error}", file=sys.stderr)
        return 2
    print(said, file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
