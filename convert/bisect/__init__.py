"""The first operator at which an artifact and eager PyTorch, or two artifacts, diverge.

The exported program, rewritten for the artifact's family as it was before compiling, is the map. Every tensor that the
artifact computed is matched with one of its operators. Each stretch between matched tensors is then run eagerly on the
artifact's own tensors: what differs there is that stretch's own error, however much its inputs were off already. Inputs
and outputs are always matched, so the stretches cover the whole program and no operator goes unseen.
"""
