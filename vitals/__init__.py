"""The domain: what readings mean, when they are late, how patients are scored and when someone must look.

Pure: no clock, no network, no files, no logging, no environment; NumPy and codecs only. The way of a reading::

    wire -> validate -> block | the log | align -> scores, detector -> alarm
    (device bytes)      (one Kafka record)  (frames)                 (events)
                                     ward: all of the right half for many patients at once
"""
