"""Stand-in for docker-py: containers are timers, not processes. For MiniStack's ECS only.

Environment of the server, in seconds:
  SIM_PROVISION_SECONDS (0.3)  each start of a task
  SIM_PULL_SECONDS (0.3)       each pull of an image
Environment of a container, from its task definition or an override:
  SIM_START_SECONDS (0.2)      from created to started
  SIM_EXIT_SECONDS             it exits after that long; absent or empty, it runs until it is stopped
  SIM_EXIT_CODE (1)            with this code
  SIM_LOG_LINE                 the last line it writes before it exits by itself
                               (default "FATAL: could not connect to database"; none if the code is 0)
The manifest of an image in this MiniStack's own ECR may have the same in its annotations; the environment has the last word.

An image whose reference contains "missing" has no manifest and cannot be pulled. An image of a repository that
this MiniStack's own ECR holds is looked up there: its tag gives the digest that PutImage stored, and a tag or
digest that ECR does not have cannot be pulled. Any other reference has the SHA-256 of its own text as digest.
"""
import hashlib
import itertools
import json
import os
import re
import time
import uuid

from . import errors

_number = itertools.count(10)
_ECR = re.compile(r"^\d{12}\.dkr\.ecr\.[a-z0-9-]+\.amazonaws\.com(?:\.cn)?/([^:@]+)(?::([^@]+))?(?:@(.+))?$")
_FATAL = "FATAL: could not connect to database"


def from_env(timeout=None, **_):
    return _CLIENT


def _stored(image):
    """The image that `image` names in MiniStack's ECR, or ImageNotFound; None for one of another registry."""
    name = _ECR.match(image)
    if name:
        from ministack.services import ecr

        repository, tag, digest = name.groups()
        if repository in ecr._repositories:
            want = {"imageDigest": digest} if digest else {"imageTag": tag or "latest"}
            found = ecr._find_image(repository, want)
            if found is None:
                raise errors.ImageNotFound(f"manifest for {image} not found: manifest unknown")
            return found
    return None


def _annotations(image):
    """What its manifest says of its containers."""
    try:
        stored = _stored(image)
        return json.loads(stored["imageManifest"]).get("annotations") or {} if stored else {}
    except (errors.ImageNotFound, ValueError):
        return {}


def _digest(image):
    """The digest of the manifest that `image` names, or ImageNotFound."""
    if "missing" in image:
        raise errors.ImageNotFound(f"manifest for {image} not found: manifest unknown")
    stored = _stored(image)
    if stored:
        return stored["imageDigest"]
    return image.split("@", 1)[1] if "@" in image else "sha256:" + hashlib.sha256(image.encode()).hexdigest()


class _Image:
    def __init__(self, name, digest):
        self.name, self.id = name, digest

    def tag(self, *_, **__):
        return True


class _Images:
    def get_registry_data(self, image, **_):
        return _Image(image, _digest(image))

    def get(self, image):
        # There is no local cache, so a failed pull fails the task.
        raise errors.ImageNotFound(image)

    def pull(self, image, **_):
        time.sleep(float(os.environ.get("SIM_PULL_SECONDS", "0.3")))
        return _Image(image, _digest(image))


class Container:
    def __init__(self, image, options):
        self.id = uuid.uuid4().hex * 2
        self.image = image
        self.labels = options.get("labels") or {}
        self.name = options.get("name") or self.id[:12]
        self._env = {**_annotations(image.name), **(options.get("environment") or {})}
        self._started, self._stopped = time.time(), None
        n = next(_number)
        self.attrs = {
            "Id": self.id,
            "State": {},
            "NetworkSettings": {"Networks": {"sim": {"IPAddress": f"10.66.{n // 250}.{n % 250}"}}},
        }

    def _own_end(self):
        after = self._env.get("SIM_EXIT_SECONDS")
        return None if not after else self._started + float(after)

    def _end(self):
        return min((t for t in (self._stopped, self._own_end()) if t is not None), default=None)

    def _exit_code(self):
        return 137 if self._end() == self._stopped else int(self._env.get("SIM_EXIT_CODE", "1"))

    @property
    def status(self):
        end = self._end()
        return "exited" if end is not None and end <= time.time() else "running"

    def reload(self):
        self.attrs["State"] = {"Status": self.status}

    def _until_exit(self):
        while self.status != "exited":
            time.sleep(0.05)

    def wait(self, **_):
        self._until_exit()
        return {"StatusCode": self._exit_code()}

    def _last_line(self):
        """What it wrote before it ended by itself; b"" when it was stopped or ended well."""
        code = self._exit_code()
        line = self._env.get("SIM_LOG_LINE", _FATAL if code not in (0, 137) else "")
        return b"" if self._end() == self._stopped or not line else line.encode() + b"\n"

    def _follow(self, first):
        yield first
        self._until_exit()
        last = self._last_line()
        if last:
            yield last

    def logs(self, stream=False, follow=False, **_):
        first = f"{self.name} started\n".encode()
        if stream:
            return self._follow(first) if follow else iter([first])
        return first + (self._last_line() if self.status == "exited" else b"")

    def stop(self, timeout=None):
        self._stopped = self._stopped or time.time()

    kill = stop

    def remove(self, **_):
        self.stop()
        _CLIENT.containers._all.pop(self.id, None)

    def exec_run(self, cmd, **_):
        return 0, b"ok\n"


class _Containers:
    def __init__(self):
        self._all = {}

    def run(self, image, **options):
        time.sleep(float((options.get("environment") or {}).get("SIM_START_SECONDS", "0.2")))
        container = Container(_Image(image, _digest(image)), options)
        self._all[container.id] = container
        return container

    def get(self, wanted):
        if wanted in self._all:
            return self._all[wanted]
        # Every start of a task asks once for an id that is not there: the only brake on MiniStack's relaunch loop.
        time.sleep(float(os.environ.get("SIM_PROVISION_SECONDS", "0.3")))
        raise errors.NotFound(wanted)

    def list(self, **_):
        return list(self._all.values())


class _Client:
    def __init__(self):
        self.images, self.containers = _Images(), _Containers()

    def ping(self):
        return True

    def close(self):
        pass


DockerClient = _Client
_CLIENT = _Client()
