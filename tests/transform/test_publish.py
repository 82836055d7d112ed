"""The transform job on real Spark and a real S3 endpoint: what a publish writes, what it leaves, and what the catalog then shows."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from decimal import Decimal

import pytest
from totesys.errors import BadDataError
from totesys.lake import manifests
from totesys.lake.manifests import PublishManifest

from tests.support.landing import address, counterparty, currency, department, payment, purchase_order, sales_order, staff
from tests.transform.conftest import Pipeline

FIRST = {
    "address": [address(1), address(2, "York")],
    "counterparty": [counterparty(1, 1), counterparty(2, 1), counterparty(3, 2)],
    "department": [department(1), department(2, None)],
    "staff": [staff(1, 1), staff(2, 2)],
    "sales_order": [sales_order(1), sales_order(2), sales_order(100_001, agreed_payment_date="2027-12-31")],
    "purchase_order": [purchase_order(1)],
    "payment": [payment(1)],
    "currency": [currency(1, "GBP"), currency(2, "XZZ")],
}


class PublishHistory:
    """One pipeline through three publishes: the first run; a day's changes in two waiting batches; a full read that finds nothing new."""

    def __init__(self, pipeline: Pipeline) -> None:
        self.pipeline = pipeline
        pipeline.landing.land(FIRST, full=True)
        self.first = self._publish()
        changes = {"address": [address(1, "Hull")], "department": [department(1, "Ripon")], "payment": [payment(1, company_ac_number=9)]}
        pipeline.landing.land({**changes, "sales_order": [sales_order(1, units_sold=11), sales_order(2)]}, day="2026-03-03")
        pipeline.landing.land({"sales_order": [sales_order(1, units_sold=10), sales_order(3)]}, day="2026-03-04")
        self.second = self._publish()
        now = {"sales_order": [sales_order(1), sales_order(3), sales_order(100_001, agreed_payment_date="2027-12-31")]}
        pipeline.landing.land({**now, "address": [address(1, "Hull"), address(2, "York")]}, day="2026-03-05", full=True)
        self.third = self._publish()

    def _publish(self) -> PublishManifest:
        published = self.pipeline.transform()
        assert published is not None
        return published


@pytest.fixture(scope="module")
def history(new_pipeline: Callable[[], Pipeline]) -> PublishHistory:
    return PublishHistory(new_pipeline())


def versions(history: PublishHistory, publish: PublishManifest, partition: str) -> list[tuple[int, int, int]]:
    rows = history.pipeline.rows(publish.star, "fact_sales_order", partition)
    return sorted((row["sales_order_id"], row["units_sold"], row["batch_seq"]) for row in rows)


def test_the_first_publish_has_a_partition_of_its_own_that_no_delta_writes_again(history: PublishHistory) -> None:
    assert versions(history, history.first, "initial") == [(1, 10, 1), (2, 10, 1), (100_001, 10, 1)]
    assert history.third.star["fact_sales_order"]["initial"] == history.first.star["fact_sales_order"]["initial"]


def test_each_waiting_batch_brings_its_versions_under_its_own_day(history: PublishHistory) -> None:
    assert versions(history, history.second, "2026-03-03") == [(1, 11, 2)]
    assert versions(history, history.second, "2026-03-04") == [(1, 10, 3), (3, 10, 3)]
    assert history.second.new_rows["fact_sales_order"] == 3


def test_an_account_number_changes_the_mirror_and_makes_no_fact_version(history: PublishHistory) -> None:
    assert history.second.new_rows["fact_payment"] == 0
    assert [row["company_ac_number"] for row in history.pipeline.rows(history.second.mirror, "payment")] == [9]
    assert "company_ac_number" not in history.pipeline.rows(history.second.star, "fact_payment")[0]


def test_only_key_ranges_with_a_change_are_written_again(history: PublishHistory) -> None:
    first, second = history.first.mirror["sales_order"], history.second.mirror["sales_order"]
    assert second["1"] == first["1"]
    assert second["0"].publish_seq == 2 and second["0"].rows == 3


def test_an_address_change_reaches_its_location_and_every_counterparty_on_it(history: PublishHistory) -> None:
    cities = {
        row["counterparty_id"]: row["counterparty_legal_city"] for row in history.pipeline.rows(history.second.star, "dim_counterparty")
    }
    assert cities == {1: "Hull", 2: "Hull", 3: "York"}
    assert history.second.new_rows["dim_counterparty"] == 2
    assert history.second.new_rows["dim_location"] == 1


def test_a_department_change_reaches_its_staff_and_a_null_location_is_empty_text(history: PublishHistory) -> None:
    before = {row["staff_id"]: row["location"] for row in history.pipeline.rows(history.first.star, "dim_staff")}
    after = {row["staff_id"]: row["location"] for row in history.pipeline.rows(history.second.star, "dim_staff")}
    assert before == {1: "Leds", 2: ""}
    assert after == {1: "Ripon", 2: ""}


def test_a_full_read_deletes_what_it_lacks_and_writes_nothing_that_is_the_same(history: PublishHistory) -> None:
    current = {row["sales_order_id"]: row["is_deleted"] for row in history.pipeline.rows(history.third.mirror, "sales_order")}
    assert current == {1: False, 2: True, 3: False, 100_001: False}
    assert not any(history.third.new_rows.values())
    assert history.third.mirror["address"] == history.second.mirror["address"]


def test_the_calendar_holds_whole_years_and_the_facts_days_within(history: PublishHistory) -> None:
    days = sorted(row["date_id"] for row in history.pipeline.rows(history.third.star, "dim_date"))
    assert (days[0], days[-1], len(days)) == (datetime.date(2026, 1, 1), datetime.date(2027, 12, 31), 730)
    monday = next(row for row in history.pipeline.rows(history.third.star, "dim_date") if row["date_id"] == datetime.date(2026, 3, 2))
    assert (monday["day_of_week"], monday["day_name"], monday["month_name"], monday["quarter"]) == (1, "Monday", "March", 1)


def test_values_arrive_exactly(history: PublishHistory) -> None:
    order = history.pipeline.rows(history.first.star, "fact_sales_order")[0]
    assert (order["created_date"], order["created_time"]) == (datetime.date(2026, 3, 2), "09:30:15.123")
    assert order["unit_price"] == Decimal("3.90")
    assert history.pipeline.rows(history.first.star, "fact_payment")[0]["payment_amount"] == Decimal("99999999.99")
    location = history.pipeline.rows(history.first.star, "dim_location")[0]
    assert (location["postal_code"], location["country"], location["district"]) == ("08841", "Democratic People's Republic of Korea", None)
    assert history.pipeline.rows(history.first.star, "dim_staff")[0]["last_name"] == "O'Keefe"


def test_a_currency_is_named_in_english_and_an_unknown_one_by_its_code(history: PublishHistory) -> None:
    names = {row["currency_code"]: row["currency_name"] for row in history.pipeline.rows(history.first.star, "dim_currency")}
    assert names == {"GBP": "British Pound", "XZZ": "XZZ"}


def test_a_purchase_order_arrives_with_its_item(history: PublishHistory) -> None:
    (order,) = history.pipeline.rows(history.third.star, "fact_purchase_orders")
    assert (order["item_code"], order["item_quantity"], order["item_unit_price"]) == ("ZDOI5EA", 371, Decimal("361.39"))
    assert order["agreed_delivery_date"] == datetime.date(2026, 3, 5)


def test_the_catalog_points_where_the_newest_manifest_says(history: PublishHistory) -> None:
    database = history.pipeline.arguments.star_database
    states = history.third.star["fact_sales_order"]
    bucket = history.pipeline.processed.name
    expected = {value: f"s3://{bucket}/{state.prefix}" for value, state in states.items()}
    assert history.pipeline.locations(database, "fact_sales_order") == expected


def test_a_run_with_nothing_waiting_publishes_nothing_and_heals_a_pointer_that_a_crash_left_behind(history: PublishHistory) -> None:
    database = history.pipeline.arguments.star_database
    before = history.pipeline.locations(database, "dim_staff")
    history.pipeline.aws.glue.delete_partition(DatabaseName=database, TableName="dim_staff", PartitionValues=["0"])
    assert history.pipeline.transform() is None
    assert history.pipeline.locations(database, "dim_staff") == before


def test_a_text_that_is_no_date_stops_the_publish_and_is_named_without_its_value(new_pipeline: Callable[[], Pipeline]) -> None:
    pipeline = new_pipeline()
    pipeline.landing.land({"payment": [payment(1), payment(2, payment_date="2024-02-30"), payment(3, payment_date="soon")]}, full=True)
    with pytest.raises(BadDataError, match=r"payment\.payment_date holds 2 texts that are not a date") as refused:
        pipeline.transform()
    assert "soon" not in str(refused.value) and "2024" not in str(refused.value)
    assert manifests.newest_publish(pipeline.processed) is None


def test_what_no_publish_of_the_last_day_refers_to_is_swept_and_the_rest_stays_readable(history: PublishHistory) -> None:
    history.pipeline.landing.land({"payment": [payment(2)]}, day="2026-03-06")
    tomorrow = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days=2)
    swept = history.pipeline.transform(tomorrow)
    assert swept is not None
    left = {key[: key.rindex("/") + 1] for key, _ in history.pipeline.processed.objects("") if "/publish_id=" in key}
    in_use = {state.prefix for publish in (history.third, swept) for table in publish.star.values() for state in table.values()}
    assert in_use <= left
    assert history.first.star["dim_location"]["0"].prefix not in left
    assert len(history.pipeline.rows(swept.star, "fact_payment")) == 2


def test_a_run_that_died_before_its_manifest_is_done_again_and_a_second_winner_steps_back(
    new_pipeline: Callable[[], Pipeline], monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline = new_pipeline()
    pipeline.landing.land({"payment": [payment(1)]}, full=True)

    def die(*_: object) -> None:
        raise ConnectionError("the process dies here")

    with monkeypatch.context() as crash:
        crash.setattr(manifests, "commit", die)
        with pytest.raises(ConnectionError):
            pipeline.transform()
    assert manifests.newest_publish(pipeline.processed) is None

    really_commit = manifests.commit

    def somebody_is_faster(bucket: object, manifest: PublishManifest) -> None:
        monkeypatch.setattr(manifests, "commit", really_commit)
        assert pipeline.transform() is not None
        really_commit(pipeline.processed, manifest)

    monkeypatch.setattr(manifests, "commit", somebody_is_faster)
    assert pipeline.transform() is None
    publish = manifests.newest_publish(pipeline.processed)
    assert publish is not None
    assert [row["payment_id"] for row in pipeline.rows(publish.star, "fact_payment")] == [1]
    assert pipeline.locations(pipeline.arguments.star_database, "fact_payment") == {
        "initial": f"s3://{pipeline.processed.name}/{publish.star['fact_payment']['initial'].prefix}"
    }


def test_a_row_of_two_tables_is_absent_until_its_parent_comes_and_is_then_new(new_pipeline: Callable[[], Pipeline]) -> None:
    pipeline = new_pipeline()
    pipeline.landing.land(
        {**FIRST, "staff": [staff(1, 1), staff(2, 9)], "counterparty": [counterparty(1, 1), counterparty(2, 9)]}, full=True
    )
    first = pipeline.transform()
    pipeline.landing.land({"department": [department(9, "Hull")], "address": [address(9, "Hull")]}, day="2026-03-03")
    second = pipeline.transform()

    assert first and second
    assert [row["staff_id"] for row in pipeline.rows(first.star, "dim_staff")] == [1]
    assert [row["counterparty_id"] for row in pipeline.rows(first.star, "dim_counterparty")] == [1]
    assert (first.new_rows["dim_staff"], first.new_rows["dim_counterparty"]) == (1, 1)
    staff_of = {row["staff_id"]: (row["location"], row["batch_seq"]) for row in pipeline.rows(second.star, "dim_staff")}
    assert staff_of == {1: ("Leds", 1), 2: ("Hull", 2)}
    assert (second.new_rows["dim_staff"], second.new_rows["dim_counterparty"]) == (1, 1)


def test_a_row_that_changes_to_a_parent_that_is_not_there_stays_as_it_was_until_the_parent_comes(
    new_pipeline: Callable[[], Pipeline],
) -> None:
    pipeline = new_pipeline()
    pipeline.landing.land(FIRST, full=True)
    pipeline.transform()
    pipeline.landing.land({"staff": [staff(1, 9, first_name="Ada"), staff(3, 2)]}, day="2026-03-03")
    second = pipeline.transform()
    pipeline.landing.land({"department": [department(9, "Hull")]}, day="2026-03-04")
    third = pipeline.transform()

    def people(publish: PublishManifest) -> list[tuple[int, str, str, int]]:
        rows = pipeline.rows(publish.star, "dim_staff")
        return sorted((row["staff_id"], row["first_name"], row["location"], row["batch_seq"]) for row in rows)

    assert second and third
    assert people(second) == [(1, "Christy", "Leds", 1), (2, "Christy", "", 1), (3, "Christy", "", 2)]
    assert second.new_rows["dim_staff"] == 1
    assert people(third) == [(1, "Ada", "Hull", 3), (2, "Christy", "", 1), (3, "Christy", "", 2)]
    assert third.new_rows["dim_staff"] == 1
