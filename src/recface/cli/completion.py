"""`recface completion SHELL`: completion of commands, options, configuration groups, experiments, protocols and files.

The script asks `recface` itself at each tab, so that it knows the words of key=value pairs (`+experiment=s<tab>`), as
completers made for argparse cannot.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from recface.cli.declaration import Command, argument, command

HOOK = "--candidates"
"""First argument of the program when a shell asks: the words behind `recface` follow, the unfinished one last."""

# Bash takes `=` for a break between words, so a candidate loses what is before it; `:` it breaks nowhere here.
SCRIPTS = {
    "bash": """_recface() {
  local line="${COMP_LINE:0:COMP_POINT}" words candidate
  read -ra words <<< "$line"
  [[ "$line" == *" " ]] && words+=("")
  COMPREPLY=()
  while IFS= read -r candidate; do
    [[ "${words[-1]}" == *=* ]] && candidate="${candidate#*=}"
    [[ -n "$candidate" ]] && COMPREPLY+=("$candidate")
  done < <(recface --candidates "${words[@]:1}" 2>/dev/null)
  [[ "${COMPREPLY[*]}" == *[=/] ]] && compopt -o nospace
}
complete -o default -F _recface recface
""",
    "zsh": """#compdef recface
_recface() {
  local -a found=("${(@f)$(recface --candidates "${(@)words[2,CURRENT]}" 2>/dev/null)}")
  local -a begun=(${(M)found:#*=}) whole=(${found:#*=})
  [[ -n "$found" ]] || { _files; return }
  compadd -S '' -a begun
  compadd -a whole
}
if [[ "${funcstack[1]}" == _recface ]]; then _recface "$@"; else compdef _recface recface; fi
""",
    "fish": """function __recface
  set -l words (commandline -opc)
  set -l token (commandline -ct)
  set -e words[1]
  recface --candidates $words "$token" 2>/dev/null
end
complete -c recface -a '(__recface)'
""",
}


def candidates(commands: Mapping[str, Command], words: Sequence[str]) -> list[str]:
    """Words that may stand where the cursor is.

    Args:
        commands: Name to command.
        words: The command line behind `recface`; the last word is unfinished, perhaps empty.

    Returns:
        Whole words that begin with the unfinished one; none where a file may stand, which shells know better.
    """
    *before, word = words or [""]
    return sorted(text for text in set(_all(commands, before, word)) if text.startswith(word))


def _all(commands: Mapping[str, Command], before: Sequence[str], word: str) -> Iterator[str]:
    if not before:
        yield from (name for name in commands if " " not in name)
        yield from ("--help", "--version")
        return
    if len(before) == 1:  # `recface sweep status`
        yield from (name.partition(" ")[2] for name in commands if name.startswith(f"{before[0]} "))
    chosen = commands.get(" ".join(before[:2])) or commands.get(before[0])
    if chosen is None:
        return
    actions = chosen.parser()._actions
    taken = next((a for a in actions if before[-1] in a.option_strings and a.nargs != 0), None)
    if taken is not None:
        yield from _values(taken)
    elif word.startswith("-"):
        yield from (text for action in actions for text in action.option_strings)
    else:
        positional = [action for action in actions if not action.option_strings]
        given = sum(not text.startswith("-") for text in before) - 1 - chosen.name.count(" ")
        for action in positional[given : given + 1] or positional[-1:]:
            yield from _overrides(word) if action.dest == "overrides" else _values(action)


def _values(action: argparse.Action) -> Iterator[str]:
    """Values of an option or a positional; none where it is a path."""
    if action.choices:
        yield from map(str, action.choices)
    elif action.dest == "protocol":
        from recface.metrics.protocols import BENCHMARKS

        yield from BENCHMARKS
    elif action.dest == "file":
        yield from map(str, sorted(Path("sweeps").glob("*.yaml")))
    elif action.dest == "name":
        yield from (*_stems("baselines"), "all")


def _overrides(word: str) -> Iterator[str]:
    """`+experiment=NAME,NAME`, `group=option`, and the keys of the configuration."""
    from recface.files.yaml_files import read_yaml
    from recface.settings.compose import CONFIGS

    key, equals, value = word.partition("=")
    if equals:
        listed = value.rpartition(",")[:2]
        yield from (f"{key}={''.join(listed)}{name}" for name in _stems(key.lstrip("+")))
        return
    content, _ = read_yaml(CONFIGS / "run.yaml")
    groups = [str(name) for entry in content.pop("defaults") if isinstance(entry, dict) for name in entry]
    yield from ("+experiment=", "hydra/launcher=", *(f"{name}=" for name in content))
    for group in groups:
        keys = {name for path in (CONFIGS / group).glob("*.yaml") for name in read_yaml(path)[0] or ()}
        yield from (f"{group}=", *(f"{group}.{name}=" for name in keys))


def _stems(group: str) -> list[str]:
    from recface.settings.compose import group_options

    return group_options(group)


@command("completion", argument("shell", choices=sorted(SCRIPTS), help="the shell that the script is for"))
def show(options: argparse.Namespace) -> None:
    """Print the completion script for a shell.

    recface completion bash > ~/.local/share/bash-completion/completions/recface
    recface completion zsh > ~/.zfunc/_recface, with `fpath+=~/.zfunc` before compinit in ~/.zshrc
    recface completion fish > ~/.config/fish/completions/recface.fish
    """
    print(SCRIPTS[options.shell], end="")
