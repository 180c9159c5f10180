"""What a node of a cluster must have: the same lth. And what an error of a task says about the node."""
from lth.errors import ENVIRONMENT_ERROR, LthError
from lth.experiments.executors.clusters.node_code import NodeCode, NodeFacts


def own_facts() -> NodeFacts:
    """The facts about this machine."""

    return NodeFacts(*NodeCode().facts())


def refuse_other_version(node: NodeFacts, own: NodeFacts) -> None:
    """LthError if a node has another lth than this process: its results would not belong to the run."""

    if node.version is None:
        raise LthError(f'{node.host}, a node of the cluster, has no package lth (Python {node.python}). Install lth '
                       f'{own.version} there, the version of this machine.', exit_code=ENVIRONMENT_ERROR)
    if node.version != own.version:
        raise LthError(f'{node.host}, a node of the cluster, has lth {node.version}, and this machine has lth '
                       f'{own.version}. Install the same version on all of them.', exit_code=ENVIRONMENT_ERROR)
    if node.sources != own.sources:
        raise LthError(f'{node.host}, a node of the cluster, has lth {node.version} with other source files '
                       f'({node.sources}) than lth {own.version} of this machine ({own.sources}). Install the same '
                       'files on all of them.', exit_code=ENVIRONMENT_ERROR)


def with_node(error: LthError, node: NodeFacts, own: NodeFacts) -> LthError:
    """The error of a task, with the node where it occurred if that is another machine."""

    if node.host == own.host:
        return error
    return error.extended(f'This was on {node.host}, a node of the cluster. Code of the user is sent there; packages, '
                          'data sets and other files must be there already: a data set in the same folder as here, or '
                          'in the one that LTH_DATASETS names on the node.')
