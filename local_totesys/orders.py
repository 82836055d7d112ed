"""Generate orders with their transactions and payments, inside the database: a million orders take seconds.

Each value of a row is a hash of the seed, the row's number and the value's purpose. So the same seed gives the same rows on any machine,
whatever plan PostgreSQL chooses.
"""

from __future__ import annotations

from datetime import date, timedelta

SALES_SHARE = 0.705  # 11,000 sales to 4,600 purchases.

# Temporary functions of the session: a number in [0, 1) for a row and a purpose; a whole number below a limit; one of several keys; and the
# weekday with a number. Weekdays are numbered from Monday 1970-01-05, without weekends, so that the next number is the next business day.
FUNCTIONS = """
CREATE OR REPLACE FUNCTION pg_temp.draw(n bigint, what text) RETURNS double precision LANGUAGE sql IMMUTABLE AS
$$ SELECT (hashint8extended(n, hashtextextended(what, %(seed)s)) & 9007199254740991) / 9007199254740992.0::double precision $$;

CREATE OR REPLACE FUNCTION pg_temp.below(n bigint, what text, "limit" integer) RETURNS integer LANGUAGE sql IMMUTABLE AS
$$ SELECT floor(pg_temp.draw(n, what) * "limit")::integer $$;

CREATE OR REPLACE FUNCTION pg_temp.pick(n bigint, what text, keys integer[]) RETURNS integer LANGUAGE sql IMMUTABLE AS
$$ SELECT keys[1 + pg_temp.below(n, what, cardinality(keys))] $$;

CREATE OR REPLACE FUNCTION pg_temp.business_day(number integer) RETURNS date LANGUAGE sql IMMUTABLE AS
$$ SELECT date '1970-01-05' + number / 5 * 7 + number %% 5 $$;
"""

# One row per order. A day's orders sell only designs that existed before the day. Two in a hundred orders were edited without a new
# last_updated, and three with one: their delivery moves by up to 650 days, their payment never. A payment is made at 07:55 of the weekday
# on which it is due, unless it is due on the day of the order. All payments of a day share the same moment.
NEW_ORDERS = """
CREATE TEMP TABLE new_order ON COMMIT DROP AS
WITH drawn AS (
    SELECT number, pg_temp.below(number, 'moment', 39600000) AS moment,
        %(first_day)s + pg_temp.below(number, 'day', 1 + %(last_day)s - %(first_day)s) AS day_number
    FROM generate_series(%(known)s + 1, %(known)s + %(orders)s) AS number
), numbered AS (
    SELECT %(known)s + row_number() OVER (ORDER BY day_number, moment, number) AS n, day_number, moment FROM drawn
), business_day AS MATERIALIZED (
    SELECT number AS day_number, pg_temp.business_day(number) AS day,
        (SELECT count(*)::integer FROM design WHERE created_at < pg_temp.business_day(number)) AS designs
    FROM generate_series(%(first_day)s, %(last_day)s) AS number
), decided AS (
    SELECT n, day, designs, day + interval '8 hours' + moment * interval '1 millisecond' AS created_at,
        pg_temp.draw(n, 'is sale') < %(sales_share)s AS is_sale,
        pg_temp.draw(n, 'edit') AS edit,
        day_number + 1 + pg_temp.below(n, 'edit day', 20) AS edit_day_number,
        day + pg_temp.below(n, 'payment', 8) AS payment_day,
        day + pg_temp.below(n, 'delivery', 8) AS delivery_day
    FROM numbered JOIN business_day USING (day_number)
), shaped AS MATERIALIZED (
    SELECT *, edit < 0.02 AS is_edited_silently, edit >= 0.02 AND edit < 0.05 AND edit_day_number <= %(last_day)s AS is_edited,
        payment_day > day AND extract(isodow FROM payment_day) < 6 AND payment_day <= %(until)s::date AS is_paid
    FROM decided
)
SELECT n, is_sale, row_number() OVER (PARTITION BY is_sale ORDER BY n) AS nth, created_at,
    CASE WHEN is_edited
        THEN pg_temp.business_day(edit_day_number) + interval '8 hours'
            + pg_temp.below(n, 'edit moment', 39600000) * interval '1 millisecond'
        ELSE created_at
    END AS last_updated,
    to_char(delivery_day + CASE WHEN is_edited OR is_edited_silently THEN pg_temp.below(n, 'put off', 643) ELSE 0 END, 'YYYY-MM-DD')
        AS delivery_date,
    to_char(payment_day, 'YYYY-MM-DD') AS payment_date,
    is_paid,
    CASE WHEN is_paid
        THEN payment_day + interval '7 hours 55 minutes'
            + pg_temp.below(payment_day - date '1970-01-05', 'batch', 60000) * interval '1 millisecond'
        ELSE created_at
    END AS paid_at,
    (%(design)s::integer[])[1 + pg_temp.below(n, 'design', designs)] AS design_id,
    pg_temp.pick(n, 'staff', %(staff)s) AS staff_id,
    pg_temp.pick(n, 'counterparty', %(counterparty)s) AS counterparty_id,
    pg_temp.pick(n, 'currency', %(currency)s) AS currency_id,
    pg_temp.pick(n, 'location', %(address)s) AS location_id,
    CASE WHEN is_sale THEN 1000 + pg_temp.below(n, 'units', 99001) ELSE 1 + pg_temp.below(n, 'units', 1000) END AS units,
    CASE WHEN is_sale THEN 200 + pg_temp.below(n, 'price', 201) ELSE 100 + pg_temp.below(n, 'price', 99901) END / 100.00 AS price
FROM shaped
"""

INSERT_SALES = """
INSERT INTO sales_order (sales_order_id, created_at, last_updated, design_id, staff_id, counterparty_id, units_sold, unit_price,
    currency_id, agreed_delivery_date, agreed_payment_date, agreed_delivery_location_id)
SELECT %(sales_known)s + nth, created_at, last_updated, design_id, staff_id, counterparty_id, units, price, currency_id,
    delivery_date, payment_date, location_id
FROM new_order WHERE is_sale ORDER BY n
"""

INSERT_PURCHASES = """
INSERT INTO purchase_order (purchase_order_id, created_at, last_updated, staff_id, counterparty_id, item_code, item_quantity,
    item_unit_price, currency_id, agreed_delivery_date, agreed_payment_date, agreed_delivery_location_id)
SELECT %(purchases_known)s + nth, created_at, last_updated, staff_id, counterparty_id,
    upper(substr(md5(hashint8extended(n, %(seed)s)::text), 1, 7)), units, price, currency_id, delivery_date, payment_date, location_id
FROM new_order WHERE NOT is_sale ORDER BY n
"""

INSERT_TRANSACTIONS = """
INSERT INTO transaction (transaction_id, transaction_type, sales_order_id, purchase_order_id, created_at, last_updated)
SELECT n, CASE WHEN is_sale THEN 'SALE' ELSE 'PURCHASE' END::transaction_type, CASE WHEN is_sale THEN %(sales_known)s + nth END,
    CASE WHEN NOT is_sale THEN %(purchases_known)s + nth END, created_at, created_at
FROM new_order ORDER BY n
"""

# Keys have gaps, as after rolled-back inserts, so that the key of a different table is never right by accident.
INSERT_PAYMENTS = """
INSERT INTO payment (payment_id, created_at, last_updated, transaction_id, counterparty_id, payment_amount, currency_id, payment_type_id,
    paid, payment_date, company_ac_number, counterparty_ac_number)
SELECT n + 1 + n / 500, created_at, paid_at, n, counterparty_id, units * price, currency_id,
    (SELECT payment_type_id FROM payment_type
     WHERE payment_type_name = CASE WHEN is_sale THEN 'SALES_RECEIPT' ELSE 'PURCHASE_PAYMENT' END::payment_type_name),
    is_paid, payment_date,
    10000000 + pg_temp.below(n, 'our account', 90000000), 10000000 + pg_temp.below(n, 'their account', 90000000)
FROM new_order ORDER BY n
"""

STEPS = {
    "drawing orders": NEW_ORDERS,
    "sales_order": INSERT_SALES,
    "purchase_order": INSERT_PURCHASES,
    "transaction": INSERT_TRANSACTIONS,
    "payment": INSERT_PAYMENTS,
}


def business_day_number(day: date) -> int:
    """Return the number of a weekday, counted without weekends. A day of a weekend has the number of the Friday before."""
    weeks, weekday = divmod((day - date(1970, 1, 5)).days, 7)
    return weeks * 5 + min(weekday, 4)


def business_day(number: int) -> date:
    """Return the weekday with this number."""
    weeks, weekday = divmod(number, 5)
    return date(1970, 1, 5) + timedelta(weeks=weeks, days=weekday)
