"""dim_currency: the currencies with their names."""

from __future__ import annotations

from babel import Locale
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from totesys.transform.tables.derived import conform


def dim_currency(currencies: DataFrame) -> DataFrame:
    """Return one row per currency: its latest state. Names are the English names in Unicode CLDR; without one, the code is the name."""
    names = F.create_map(*[F.lit(text) for code_and_name in Locale("en").currencies.items() for text in code_and_name])
    code = F.col("currency_code")
    made = {"currency_name": F.coalesce(F.try_element_at(names, code), code)}
    return conform(currencies.alias("currency"), "dim_currency", made)
