"""`fscontrol` and `python -m fscontrol`. Patches first, before anything imports a socket."""

from gevent import monkey

monkey.patch_all()

from fscontrol.cli import main  # noqa: E402  (only after patching)

if __name__ == "__main__":
    main()
