"""Every default that is not a field of a plugin's dataclass, each written once."""

from __future__ import annotations

#: Environment variable: folder with data sets, one folder each.
DATA_VARIABLE = "RECSHIELD_DATA"
#: Environment variable: folder of the step store and of compiled kernels.
CACHE_VARIABLE = "RECSHIELD_CACHE"
#: Entry-point group that plugins register under.
PLUGIN_GROUP = "recshield"

#: Data set used when none is named.
DATASET = "synthetic-fashion"
#: Metrics reported when none is named; the first is the main one.
METRICS = ("ndcg@100", "hr@100")
#: Budgets used when none is named: per row of a table, per image, per item's features.
BUDGET = ("l2:0.5", "item_images=linf:4/255", "item_features=l2:0.1")
#: Goal of the attacks when none is named.
GOAL = "degrade"
#: When the attacker acts where nothing else is said: after training.
STAGE = "serve"
#: Seeds of training and attack draws.
SEEDS = (0,)
#: Seed of splits, populations and the attacks' negatives.
DATA_SEED = 0
#: Threads of each process; never derived from the machine.
THREADS = 1
#: Ratings below this do not count as interactions.
RATING_THRESHOLD = 0.0

#: Epochs between two looks at the validation rows, where something is selected.
SELECT_EVERY = 10
#: Looks without a better value after which training stops.
SELECT_PATIENCE = 5
#: Fewest training rows of a user whose latest one is cut for validation.
SELECT_LEAST_ROWS = 3

#: Draws of one negative per training row in the loss that `degrade` attacks.
DEGRADE_DRAWS = 3
#: Negatives per test pair in the loss that `degrade:oracle` attacks.
ORACLE_NEGATIVES = 20
#: Items of each user's clean list that the loss `top` pushes below the rest.
TOP_ITEMS = 10
#: Draws of one item of the rest for each of them.
TOP_DRAWS = 3
#: Triplets per forward and backward pass of an attack; bounds its memory.
ATTACK_TRIPLETS = 32_768
#: Users scored at once; more than 128 falls out of the cache.
RANKING_USERS = 128
#: The same on a GPU; not read off the memory that is free, as the last bits of a product depend on its shape.
DEVICE_RANKING_USERS = 1024
#: Scores at once there: fewer users where there are many items.
DEVICE_RANKING_SCORES = 2**25
#: Users whose inner products a thread makes at once, and counts while they are near.
PRODUCT_USERS = 64
#: Inner products that a thread makes at once: fewer users where there are many items,
PRODUCT_SCORES = 2**24
#: but never fewer than these.
LEAST_PRODUCT_USERS = 16
#: Inner products that all threads hold together: fewer threads where one of them holds many.
ALL_PRODUCT_SCORES = 2**27

#: The most popular items that make up this percentage of the training rows are the short head, the rest the long tail.
HEAD_PERCENT = 80

#: Relative slack of a measured norm over eps (check 2).
BUDGET_TOLERANCE = 1e-4
#: Relative slack of the multi-step attack's loss (check 7).
ITERATION_TOLERANCE = 1e-3
#: Relative difference of measured norms within one row that counts as equal (check 3).
EQUAL_NORM_TOLERANCE = 0.01
#: Two-sided confidence of the intervals that checks use.
CONFIDENCE = 0.95
#: Fewest users over which a difference can be significant: the normal interval is too narrow below.
LEAST_USERS = 20
#: Bootstrap resamples behind an interval over users and seeds.
RESAMPLES = 1000
#: Fewest seeds that a claim needs (check 21).
CLAIM_SEEDS = 5
#: Controls that are planned: `quick` or `full`.
AUDIT = "quick"
#: The very large budget of check 6, in percent of the mean clean norm of the rows that the goal reads.
SATURATE_PERCENT = 1000.0
#: Draws of random rankings whose mean figure is the level of chance.
CHANCE_DRAWS = 16
#: A row whose gradient is zero counts as dead; from this share of dead rows on check 11 fails.
ZERO_GRADIENT_SHARE = 0.01
#: What another attack may take more, in shares of the clean figure: beyond it checks 8, 10 and 11 warn.
EFFECT_TOLERANCE = 0.01
#: Beyond this share they fail.
EFFECT_LIMIT = 0.05

#: Perturbations are saved whole up to this many bytes a run; beyond it, a sample and every norm.
PERTURBATION_BYTES = 2 * 1024**3
#: Rows kept of a perturbation that is too large to save whole.
PERTURBATION_SAMPLE = 256
#: Bytes of that sample; fewer rows are kept where a row is large.
SAMPLE_BYTES = 4 * 1024**2
#: Rows that it has at least.
SAMPLE_LEAST = 16
#: A perturbation above this many bytes is kept as a sample of rows and every norm.
PERTURBATION_CELL_BYTES = 32 * 1024**2
#: Largest data file that is read, in bytes, after unpacking too.
DATA_FILE_BYTES = 8 * 1024**3
#: Longest line of a data file, in characters.
DATA_LINE_LENGTH = 16 * 1024**2
#: Largest table of a saved run that is read, in bytes before compression.
RUN_TABLE_BYTES = 16 * 1024**3
#: Most rows of a table of a saved run.
RUN_TABLE_ROWS = 2**31
#: Temporary store folders older than this many seconds are removed.
STALE_SECONDS = 7 * 86_400

#: Most bytes of one download, where its data set names no other bound.
DOWNLOAD_BYTES = 64 * 1024**2
#: Most bytes of one unpacked file, where its data set names no other bound.
UNPACKED_BYTES = 256 * 1024**2
#: Most members of an archive.
ARCHIVE_MEMBERS = 10_000
#: An archive may unpack to at most this many times its own size.
ARCHIVE_RATIO = 100
#: Seconds without a byte after which a download is given up.
DOWNLOAD_TIMEOUT = 30.0
#: Attempts at a download that fails in passing (timeout, broken connection, server error).
DOWNLOAD_ATTEMPTS = 3
#: Seconds before the second attempt at a download; they double with each further one.
DOWNLOAD_WAIT = 1.0
#: Most redirects that a download follows.
DOWNLOAD_REDIRECTS = 5

#: Attacked images of a cell that a saved run keeps to look at.
PICTURES = 12
#: Users over whose scores the share of the images is taken.
SHARE_USERS = 256
#: Images that pass through an extractor at once.
IMAGE_CHUNK = 64
#: Bytes of what is remembered of images on their way through an extractor, for the gradient's way back.
GRAPH_BYTES = 640 * 1024**2
#: Extractor of image features where neither model nor data set names one.
EXTRACTOR = "smallcnn"
#: Tensors of at least this many bytes are mapped to a file in the cache folder, on CPU.
MAPPED_BYTES = 256 * 1024**2
#: Bytes of a mapped tensor that are worked on at once.
CHUNK_BYTES = 32 * 1024**2

#: Height and width of stored images where neither the data set nor `--image-size` says it.
IMAGE_SIZE = (64, 64)
#: Smallest and largest height or width of stored images.
IMAGE_SIDES = (8, 1024)
#: Grey level, 0 to 255, of the image that stands for a missing one.
IMAGE_FALLBACK = 128
#: Largest image file that is read, in bytes.
IMAGE_FILE_BYTES = 64 * 1024**2
#: Most pixels of an image file; more are refused before they are unpacked.
IMAGE_PIXELS = 64_000_000
#: Images between two notes of how far the building of an image store is.
IMAGE_NOTES = 64
#: Items on a contact sheet.
CONTACT_ITEMS = 48
#: Most categories of items.
CATEGORIES = 1_000
#: Largest file of pretrained weights that is fetched or read, in bytes.
WEIGHTS_BYTES = 512 * 1024**2

#: Percentage of the epochs that `recshield reproduce --quick` trains.
QUICK_PERCENT = 2

#: Formats of a report when none is named.
REPORT_FORMATS = ("html",)
