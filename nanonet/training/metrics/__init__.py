"""Metrics: measures reported beside the loss, each over all samples of an epoch, never a mean of batch values.

Read metric first (the protocol, short to subclass), then whole (functions, which need all predictions at once) and
reading (how a prediction and its target are read). accuracy, counts (precision, recall, f1, confusion_matrix), ranking
(auc) and regression have the built-in ones; named is what ``metrics=[...]`` goes through, and evaluation computes loss
and metrics on given data.
"""
