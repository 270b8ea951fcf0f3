"""The tables, and what is asked of them: eight queries in the manner of TPC-H in SQL, and three more whose work is done by Python functions.

Amounts are decimals and every query orders its rows completely, so a result is the same to the last digit however the work was divided.
"""

import functools
import hashlib

import phones
from pyspark.sql.functions import udf

MONEY = "decimal(15,2)"
TABLES = {
    "region": "r_regionkey int, r_name string",
    "nation": "n_nationkey int, n_name string, n_regionkey int",
    "supplier": f"s_suppkey int, s_name string, s_nationkey int, s_acctbal {MONEY}",
    "part": f"p_partkey int, p_name string, p_brand string, p_type string, p_size int, p_container string, p_retailprice {MONEY}",
    "customer": f"c_custkey int, c_name string, c_nationkey int, c_phone string, c_acctbal {MONEY}, c_mktsegment string, "
                "c_comment string",
    "orders": f"o_orderkey bigint, o_custkey int, o_orderstatus string, o_totalprice {MONEY}, o_orderdate date, "
              "o_orderpriority string, o_shippriority int, o_comment string",
    "lineitem": f"l_orderkey bigint, l_partkey int, l_suppkey int, l_linenumber int, l_quantity int, l_extendedprice {MONEY}, "
                f"l_discount {MONEY}, l_tax {MONEY}, l_returnflag string, l_linestatus string, l_shipdate date, l_commitdate date, "
                "l_receiptdate date, l_shipinstruct string, l_shipmode string, l_comment string",
}

QUERIES = {
    # Q1: what was billed, shipped and returned
    "q1": """
        SELECT l_returnflag, l_linestatus, sum(l_quantity) AS quantity, sum(l_extendedprice) AS base,
               sum(l_extendedprice * (1 - l_discount)) AS discounted,
               sum(l_extendedprice * (1 - l_discount) * (1 + l_tax)) AS charged,
               avg(l_extendedprice) AS price, avg(l_discount) AS discount, count(*) AS lines
        FROM lineitem WHERE l_shipdate <= date_sub(DATE '1998-12-01', 90)
        GROUP BY l_returnflag, l_linestatus ORDER BY l_returnflag, l_linestatus""",
    # Q3: the dearest orders not yet shipped
    "q3": """
        SELECT o_orderkey, sum(l_extendedprice * (1 - l_discount)) AS revenue, o_orderdate, o_shippriority
        FROM customer JOIN orders ON c_custkey = o_custkey JOIN lineitem ON l_orderkey = o_orderkey
        WHERE c_mktsegment = 'BUILDING' AND o_orderdate < DATE '1995-03-15' AND l_shipdate > DATE '1995-03-15'
        GROUP BY o_orderkey, o_orderdate, o_shippriority ORDER BY revenue DESC, o_orderdate, o_orderkey LIMIT 10""",
    # Q5: what the suppliers of a region sell at home
    "q5": """
        SELECT n_name, sum(l_extendedprice * (1 - l_discount)) AS revenue
        FROM region JOIN nation ON n_regionkey = r_regionkey JOIN supplier ON s_nationkey = n_nationkey
             JOIN lineitem ON l_suppkey = s_suppkey JOIN orders ON o_orderkey = l_orderkey
             JOIN customer ON c_custkey = o_custkey AND c_nationkey = n_nationkey
        WHERE r_name = 'ASIA' AND o_orderdate >= DATE '1994-01-01' AND o_orderdate < DATE '1995-01-01'
        GROUP BY n_name ORDER BY revenue DESC, n_name""",
    # Q6: revenue without certain discounts
    "q6": """
        SELECT sum(l_extendedprice * l_discount) AS revenue FROM lineitem
        WHERE l_shipdate >= DATE '1994-01-01' AND l_shipdate < DATE '1995-01-01' AND l_discount BETWEEN 0.05 AND 0.07
              AND l_quantity < 24""",
    # Q10: customers who send things back
    "q10": """
        SELECT c_custkey, c_name, sum(l_extendedprice * (1 - l_discount)) AS revenue, c_acctbal, n_name, c_comment
        FROM customer JOIN orders ON o_custkey = c_custkey JOIN lineitem ON l_orderkey = o_orderkey
             JOIN nation ON n_nationkey = c_nationkey
        WHERE o_orderdate >= DATE '1993-10-01' AND o_orderdate < DATE '1994-01-01' AND l_returnflag = 'R'
        GROUP BY c_custkey, c_name, c_acctbal, n_name, c_comment ORDER BY revenue DESC, c_custkey LIMIT 20""",
    # Q13: how many customers have how many orders
    "q13": """
        SELECT orders_made, count(*) AS customers FROM (
            SELECT c_custkey, count(o_orderkey) AS orders_made
            FROM customer LEFT JOIN orders ON o_custkey = c_custkey AND o_comment NOT LIKE '%special%requests%'
            GROUP BY c_custkey)
        GROUP BY orders_made ORDER BY customers DESC, orders_made DESC""",
    # Q14: the part of promotions
    "q14": """
        SELECT 100 * sum(CASE WHEN p_type LIKE 'PROMO%' THEN l_extendedprice * (1 - l_discount) ELSE 0 END)
                   / sum(l_extendedprice * (1 - l_discount)) AS percent
        FROM lineitem JOIN part ON p_partkey = l_partkey
        WHERE l_shipdate >= DATE '1995-09-01' AND l_shipdate < DATE '1995-10-01'""",
    # Q18: the largest orders
    "q18": """
        SELECT c_name, c_custkey, o_orderkey, o_orderdate, o_totalprice, sum(l_quantity) AS quantity
        FROM customer JOIN orders ON o_custkey = c_custkey JOIN lineitem ON l_orderkey = o_orderkey
        WHERE o_orderkey IN (SELECT l_orderkey FROM lineitem GROUP BY l_orderkey HAVING sum(l_quantity) > 250)
        GROUP BY c_name, c_custkey, o_orderkey, o_orderdate, o_totalprice
        ORDER BY o_totalprice DESC, o_orderdate, o_orderkey LIMIT 100""",
    # Q12, plain Python function: late deliveries of two ship modes, by urgency
    "q12_python": """
        SELECT l_shipmode, urgency(o_orderpriority) AS urgency, count(*) AS lines
        FROM orders JOIN lineitem ON l_orderkey = o_orderkey
        WHERE l_shipmode IN ('MAIL', 'SHIP') AND l_commitdate < l_receiptdate AND l_shipdate < l_commitdate
              AND l_receiptdate >= DATE '1994-01-01' AND l_receiptdate < DATE '1995-01-01'
        GROUP BY l_shipmode, urgency(o_orderpriority) ORDER BY l_shipmode, urgency""",
    # Q13, heavy Python function: the orders' comments, stretched and distinguished by what they say
    "q13_python": """
        SELECT substr(d, 1, 2) AS class, count(*) AS orders, min(d) AS least, max(d) AS most FROM (
            SELECT digest(o_comment) AS d FROM orders)
        GROUP BY substr(d, 1, 2) ORDER BY class""",
    # Q22, Python function with a secret: customers with money and without orders, by the country code of a telephone number that is
    # encrypted wherever there is a key
    "q22_python": """
        SELECT code, count(*) AS customers, sum(c_acctbal) AS balance FROM (
            SELECT country_code(c_custkey, c_phone) AS code, c_acctbal, c_custkey FROM customer)
        WHERE code IN ('13', '31', '23', '29', '30', '18', '17')
              AND c_acctbal > (SELECT avg(c_acctbal) FROM customer WHERE c_acctbal > 0)
              AND NOT EXISTS (SELECT * FROM orders WHERE o_custkey = c_custkey)
        GROUP BY code ORDER BY code""",
}


def urgency(priority):
    return "high" if priority in ("1-URGENT", "2-HIGH") else "low"


def digest(text):
    """Work on every word of the text, in bytecode as in C."""
    words = sorted(text.split(), key=lambda w: (len(w), w[::-1]))
    pairs = {a + b: sum(map(ord, a)) * sum(map(ord, b)) % 65521 for a, b in zip(words, words[1:])}
    salt = b"%d" % sum(pairs.values())
    return hashlib.pbkdf2_hmac("sha256", "\n".join(sorted(pairs)).encode(), salt, 50).hex()


def country_code(key_file, customer, phone):
    return (phones.unseal(key_file, customer, phone) if key_file else phone)[:2]


def prepare(spark, directory, key_file):
    """Make TABLES and the functions known. key_file: what the telephone numbers are sealed with, None if they are not."""
    for name, schema in TABLES.items():
        spark.read.csv(f"{directory}/{name}.csv", schema=schema, sep="|", mode="FAILFAST").createOrReplaceTempView(name)
    for name, function in (("urgency", urgency), ("digest", digest), ("country_code", functools.partial(country_code, key_file))):
        spark.udf.register(name, udf(function))
