"""The user's own engine arguments: which of them Solera has to write itself, and how many accelerators they spread over.

Flags are compared as the engines read them: ``--flag value`` or ``--flag=value``, underscores for dashes, and (argparse) any
unambiguous beginning of a long flag.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from solera.api.errors import InvalidSpec

ARGS = "template.engine.args"
"""Path below a version, with the template merged into it (as in `solera.api.fields`)."""


def flag_of(argument: str) -> str | None:
    """``--served_model_name=x`` -> ``--served-model-name``; None for a value."""
    if not argument.startswith("-") or argument in {"-", "--"}:
        return None
    name = argument.partition("=")[0]
    return name.replace("_", "-") if name.startswith("--") else name


def refuse_reserved(version: str, args: Sequence[str], reserved: Mapping[str, str], *, abbreviations: bool) -> None:
    """Refuse every argument that Solera writes from another field.

    Args:
        version: name of the version, for the message.
        args: the user's arguments.
        reserved: flag -> what to do instead.
        abbreviations: the engine also takes beginnings of long flags (argparse).

    Raises:
        InvalidSpec: one of them is reserved.
    """
    for index, argument in enumerate(args):
        flag = flag_of(argument)
        if flag is None:
            continue
        taken = flag if flag in reserved else None
        if taken is None and abbreviations and flag.startswith("--") and len(flag) > 3:
            taken = next((known for known in reserved if known.startswith(flag)), None)
        if taken is not None:
            raise InvalidSpec(
                f"{ARGS}[{index}]", f"version {version}: {argument!r} cannot be set here; {reserved[taken]}"
            )


def values_of(args: Sequence[str], flags: Sequence[str]) -> list[str]:
    """The values given to any of these flags, in order."""
    found = []
    for index, argument in enumerate(args):
        if flag_of(argument) in flags:
            _, equals, value = argument.partition("=")
            found.append(value if equals else (args[index + 1] if index + 1 < len(args) else ""))
    return found


def spreads_over(
    version: str, args: Sequence[str], sizes: Sequence[Sequence[str]], gpus: int, *, multiply: bool
) -> bool:
    """Whether the user spreads the model over the accelerators in their own way.

    Args:
        version: name of the version, for the message.
        args: the user's arguments.
        sizes: the flags of each dimension (tensor, pipeline, data), all spellings.
        gpus: accelerators for each replica; 0 on processors only, where nothing is checked.
        multiply: the engine needs the product of the dimensions.

    Raises:
        InvalidSpec: the product is not the number of accelerators that each replica asks for.
    """
    given = [values[-1] for flags in sizes if (values := values_of(args, flags))]
    if not given:
        return False
    if multiply and gpus and all(value.isdecimal() for value in given):
        product = 1
        for value in given:
            product *= int(value)
        if product != gpus:
            raise InvalidSpec(
                ARGS,
                f"version {version}: the parallel sizes multiply to {product}, but template.resources.gpus is {gpus}; "
                "make them equal, or leave the sizes out for tensor parallelism over all of them",
            )
    return True
