"""Alarms reach a person: who is told, when, by which way, and what becomes of it.

```
 teleward.alarms --> pager (shell) --> core.step: pure ----> outbox (SQLite) --> channels --> people
                        ^                 ^    plan = rota + policies                           |
                        |                 +------------------- answers, by signed links <-------+
                        +-- auditor: the alarm topic alone, once a minute
```

`core` and what it uses (`state`, `turn`, `intake`, `calling`, `owners`, `own`, `policy`, `rota`) read no clock, open no
file and know no channel. `policy_file`, `rota_file` and `ical` read what people write; `text` makes words; `links`
signs them; `store` keeps state, outbox, receipts and journal in one SQLite file; `channels` and `delivery` talk to
the outside; `pager` hosts it all. docs/paging.md says what is promised.
"""
