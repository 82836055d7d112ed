"""Words for the generated rows. The awkward words are real: each of them has broken some pipeline."""

from __future__ import annotations

CURRENCIES = ("GBP", "USD", "EUR")

# Name, location, manager.
DEPARTMENTS = (
    ("Sales", "Manchester", "Richard Roma"),
    ("Purchasing", "Manchester", "Naomi Lapaglia"),
    ("Production", "Leeds", "Chester Ming"),
    ("Dispatch", "Leds", "Mark Hanna"),
    ("Finance", "Manchester", "Jordan Belfort"),
    ("Facilities", "Manchester", "Shelley Levene"),
    ("Communications", "Leeds", "Ann Blake"),
    ("HR", "Leeds", "James Link"),
)

AWKWARD_LAST_NAME = "O'Keefe"
AWKWARD_CONTACT = "Christy O'Hara"
AWKWARD_COMPANY = "Frami, Yundt and Macejkovic"
AWKWARD_COUNTRY = "Democratic People's Republic of Korea"
AWKWARD_POSTAL_CODE = "08841"

FIRST_NAMES = (
    "Jeremie", "Deron", "Jeanette", "Ana", "Magdalena", "Korey", "Raphael", "Oswaldo", "Brody", "Jazmyn", "Meda", "Imani", "Stan", "Betty",
    "Alden", "Flavio", "Millie", "Thelma", "Camilla", "Rosalia", "Elva", "Pietro", "Lynn", "Hazel",
)  # fmt: skip
LAST_NAMES = (
    "Franey", "Beier", "Erdman", "Glover", "Zboncak", "Kreiger", "Rippin", "Lockman", "Gorczany", "Kuhn", "Cremin", "Walker", "Wehner",
    "Kunze", "Kuphal", "Dickens", "Hilll", "Mertz", "Rutherford", "Swaniawski", "Leffler", "Hirthe", "Nader", "Jacobson",
)  # fmt: skip
STREETS = (
    "Herzog Via", "Alexie Cliffs", "Sincere Fort", "Kristy Island", "Edwardo Wells", "Margie Mission", "Bogan Station", "Hettinger Knoll",
    "Moen Crossing", "Bins Union", "Wiza Harbor", "Prosacco Flats", "Schimmel Ridge", "Rath Vista", "Lehner Parks",
)  # fmt: skip
DISTRICTS = ("Avon", "Bedfordshire", "Buckinghamshire", "Cambridgeshire", "Cumbria", "Berkshire", "Borders", "Dorset")
CITIES = (
    "New Patienceburgh", "Shanahanview", "East Bobbie", "Beaulahcester", "Corpus Christi", "Pricetown", "Lake Charles", "Kendraburgh",
    "Suffolk", "Hackensack", "Aliso Viejo", "Utica", "Oakland", "West Beth", "Fort Shayleechester",
)  # fmt: skip
COUNTRIES = ("Turkey", "San Marino", "Isle of Man", "Libyan Arab Jamahiriya", "Denmark", "Virgin Islands, U.S.", "Bolivia", "Réunion")
COMPANY_FORMS = ("{} and Sons", "{} Inc", "{} LLC", "{} Group", "{} - {}", "{}, {} and {}")
MATERIALS = ("Wooden", "Steel", "Granite", "Soft", "Rubber", "Frozen", "Concrete", "Cotton", "Plastic", "Fresh", "Bronze", "Metal")
FOLDERS = ("/usr", "/private", "/Network", "/lost+found", "/boot/defaults", "/home/user/dir", "/opt/sbin", "/usr/local/src")
