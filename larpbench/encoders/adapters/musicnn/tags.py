"""The 50 tags of each network, in the order of its outputs (spelling of the published package)."""

from __future__ import annotations

_MSD = (
    "rock pop alternative indie electronic female_vocalists dance 00s alternative_rock jazz beautiful metal chillout "
    "male_vocalists classic_rock soul indie_rock Mellow electronica 80s folk 90s chill instrumental punk oldies blues "
    "hard_rock ambient acoustic experimental female_vocalist guitar Hip-Hop 70s party country easy_listening sexy "
    "catchy funk electro heavy_metal Progressive_rock 60s rnb indie_pop sad House happy"
)
_MTT = (
    "guitar classical slow techno strings drums electronic rock fast piano ambient beat violin vocal synth female "
    "indian opera male singing vocals no_vocals harpsichord loud quiet flute woman male_vocal no_vocal pop soft sitar "
    "solo man classic choir voice new_age dance male_voice female_vocal beats harp cello no_voice weird country metal "
    "female_voice choral"
)
TAGS: dict[str, tuple[str, ...]] = {
    name: tuple(tag.replace("_", " ") for tag in tags.split()) for name, tags in (("msd", _MSD), ("mtt", _MTT))
}
"""``msd``: Million Song Dataset (Last.fm tags); ``mtt``: MagnaTagATune."""
