"""English words that turn a sentence into its opposite when one stands in for the other."""

from __future__ import annotations

from functools import cache

# In each group the first word is the opposite of all others, which are not each other's.
_GROUPS = """
on off | up down | in out | more less fewer | most least fewest | above below under | over under | before after |
left right | north south | east west | open close closed shut | start stop end finish | begin end finish |
first last | increase decrease reduce lower | increased decreased reduced lowered |
increases decreases reduces lowers | increasing decreasing reducing lowering | rise fall drop decline |
rose fell dropped declined | rising falling dropping declining | rises falls drops declines | raise lower cut reduce |
raised lowered cut reduced | gain lose loss | gained lost | gains losses loses | win lose loss | won lost |
wins loses | buy sell | bought sold | buys sells | buying selling | accept reject refuse decline |
accepted rejected refused declined | accepts rejects | allow forbid prevent prohibit deny ban |
allowed forbidden prevented prohibited denied banned | allows forbids prevents prohibits | enable disable |
enabled disabled | enables disables | add remove subtract | added removed subtracted | include exclude |
included excluded | includes excludes | including excluding | high low | higher lower | highest lowest |
big small little | bigger smaller | biggest smallest | large small | larger smaller | largest smallest | long short |
longer shorter | longest shortest | tall short | fast slow | faster slower | fastest slowest | quick slow |
quickly slowly | hot cold | hotter colder | warm cool cold | warmer cooler colder | good bad poor | better worse |
best worst | well badly poorly | right wrong | correct wrong | true false | yes no | always never |
often rarely seldom | all none | everyone nobody | everything nothing | early late | earlier later | earliest latest |
new old | newer older | newest oldest | young old | younger older | strong weak | stronger weaker | hard soft easy |
harder softer easier | easy difficult | easier harder | light dark heavy | lighter darker heavier | day night |
morning evening | love hate | loved hated | loves hates | like dislike | likes dislikes | success failure |
successful failed | succeed fail | succeeded failed | pass fail | passed failed | positive negative | male female |
man woman | men women | boy girl | father mother | son daughter | brother sister | husband wife | king queen |
alive dead | live die | lived died | life death | rich poor | full empty | wet dry | clean dirty |
safe dangerous unsafe | cheap expensive | cheaper dearer | near far | inside outside | internal external |
public private | legal illegal | guilty innocent | friend enemy | war peace | attack defend | attacked defended |
push pull | pushed pulled | send receive | sent received | give take | gave took | given taken | lend borrow |
lent borrowed | teach learn | ask answer | asked answered | enter leave exit | entered left exited |
arrive depart leave | arrived departed left | come go | came went | install uninstall | lock unlock |
locked unlocked | encrypt decrypt | encode decode | compress decompress expand | upload download | push pop |
read write | input output | minimum maximum | min max | minimise maximise | minimize maximize | ascending descending |
forward backward | horizontal vertical | top bottom | upper lower | front back | ahead behind | wide narrow |
wider narrower | deep shallow | thick thin | thicker thinner | present absent | presence absence | agree disagree |
agreed disagreed | agrees disagrees | support oppose | supported opposed | supports opposes | for against | pro anti |
approve reject disapprove | approved rejected disapproved | appear disappear vanish | appeared disappeared vanished |
connect disconnect | connected disconnected | attach detach | attached detached | create destroy delete |
created destroyed deleted | build destroy demolish | built destroyed demolished | improve worsen deteriorate |
improved worsened deteriorated | improves worsens deteriorates | expand shrink contract | expanded shrank contracted |
grow shrink | grew shrank | freeze melt thaw | frozen melted thawed | sink float | join leave | joined left |
hire fire | hired fired | employed unemployed | married divorced single | permanent temporary |
voluntary compulsory mandatory | optional required mandatory | simple complex complicated | simpler harder |
active passive inactive | odd even | majority minority | victory defeat | profit loss | profits losses |
asset liability | import export | imports exports | imported exported | credit debit | deposit withdraw |
deposited withdrew | remember forget | remembered forgot | asleep awake | sweet bitter sour | loud quiet silent |
calm nervous | brave cowardly | happy sad unhappy | happier sadder | laugh cry | laughed cried |
optimistic pessimistic | maximal minimal | exterior interior | ancient modern | summer winter | spring autumn |
sunrise sunset | vegetarian meat | ally rival | guest host | parent child | predator prey | question answer |
cause effect | problem solution
"""


def opposites(word: str) -> frozenset[str]:
    """The opposites of a word in lower case; none for most."""
    return _table().get(word, frozenset())


@cache
def _table() -> dict[str, frozenset[str]]:
    table: dict[str, set[str]] = {}
    for group in _GROUPS.split("|"):
        first, *others = group.split()
        table.setdefault(first, set()).update(others)
        for other in others:
            table.setdefault(other, set()).add(first)
    return {word: frozenset(against) for word, against in table.items()}
