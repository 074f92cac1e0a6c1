"""The named data sets: who publishes them, under which licence, and what their files hash to.

A hash in `DataFile.sha256` was computed for recshield from the published files. One in `Download.sha256` is that of the
archive as others recorded it (`recorded_by`). A data set without either is unverified: see docs/datasets.md.
"""

from __future__ import annotations

from typing import ClassVar

from recshield.data.downloads import DataFile, Download
from recshield.data.table import NamedData

_MIB = 1024**2
_ASASREC = "https://raw.githubusercontent.com/feay1234/ASASRec/6246759f1ba9b79a9e4cdb099ed87689a24dffe7/data"
_HANDS_ON = "https://raw.githubusercontent.com/sisinflab/HandsOn-ECIR2021/1c6763a0d55b572645c1f84f83bf14701a327135/data"
_LIGHTGCNPP = "https://raw.githubusercontent.com/geon0325/LightGCNpp/a18af1e1f65dc4b6a432ce5aeaae5bbe75ac1c2e/data"
_APR = (
    "https://raw.githubusercontent.com/hexiangnan/adversarial_personalized_ranking/"
    "54f708f9fe4338cdb5ffe82205e69327bf22466a/Data"
)
_GROUPLENS = "https://files.grouplens.org/datasets"
_SNAP = "https://snap.stanford.edu/data/amazon/productGraph/categoryFiles"


class AmazonVideo(NamedData):
    """Amazon Video games with the split of the SAO paper."""

    name = "amazon-video"
    description = "Amazon Video games, leave-one-out split of the SAO paper (SIGIR 2020)"
    licence = "research use; the repository states no licence"
    licence_address = "https://github.com/feay1234/ASASRec"
    folder = "amazon-video"
    publisher = "https://github.com/feay1234/ASASRec"
    downloads = (
        Download(
            f"{_ASASREC}/Video.train.rating",
            (DataFile("train.rating", "", ("4416f3dfbbd5a3b19047b4002f124e562d77183f6c9990a47a4b1f88268368b6",)),),
        ),
        Download(
            f"{_ASASREC}/Video.test.rating",
            (DataFile("test.rating", "", ("7e8481a6a2474d471bbe81cac3a18d7630424983539cf0431960e868e30afcc6",)),),
        ),
    )


class MovieLens500(NamedData):
    """500 users of MovieLens-1M with the split of the AL4REC tutorial."""

    name = "movielens-500"
    description = "500 users of MovieLens-1M, leave-one-out split of the AL4REC tutorial (ECIR 2021)"
    licence = "research use (GroupLens), no commercial use"
    licence_address = "https://files.grouplens.org/datasets/movielens/ml-1m-README.txt"
    folder = "movielens-500"
    publisher = "https://github.com/sisinflab/HandsOn-ECIR2021"
    downloads = (
        Download(
            f"{_HANDS_ON}/movielens-500/trainingset.tsv",
            (DataFile("trainingset.tsv", "", ("2fd473f67e4d3d0e49bdc2074ac38ec4ff76bce2e7880c74bf6e363b95a2ed90",)),),
        ),
        Download(
            f"{_HANDS_ON}/movielens-500/testset.tsv",
            (DataFile("testset.tsv", "", ("b23e69d97e8929c1a1d1cf13564313e5e6324cdb0abb8f65e21fd16000247ed7",)),),
        ),
    )


class MovieLens100K(NamedData):
    """MovieLens 100K."""

    name = "ml-100k"
    description = "MovieLens 100K"
    licence = "research use (GroupLens), no commercial use, no redistribution"
    licence_address = "https://files.grouplens.org/datasets/movielens/ml-100k-README.txt"
    folder = "ml-100k"
    category_file = "u.item"
    publisher = "https://grouplens.org/datasets/movielens/100k/"
    downloads = (
        Download(
            f"{_GROUPLENS}/movielens/ml-100k.zip",
            (
                DataFile(
                    "u.data", "ml-100k/u.data", ("06416e597f82b7342361e41163890c81036900f418ad91315590814211dca490",)
                ),
                DataFile(
                    "u.item", "ml-100k/u.item", ("553841ebc7de3a0fd0d6b62a204ea30c1e651aacfb2814c7a6584ac52f2c5701",)
                ),
                DataFile(
                    "u.genre", "ml-100k/u.genre", ("9757e0d3e6b298159a80dd48eaf938114690e911e39af97a76949ef1663610bb",)
                ),
                DataFile(
                    "u.user", "ml-100k/u.user", ("0c7f4aa062f7811b37fc432abbaaf8fb1794ef0157e1e9f379f0f02b8e19be6a",)
                ),
            ),
            sha256="50d2a982c66986937beb9ffb3aa76efe955bf3d5c6b761f4e3a7cd717c6a3229",
            recorded_by="several public repositories, with the MD5 that GroupLens publishes",
        ),
    )


class MovieLens1M(NamedData):
    """MovieLens 1M."""

    name = "ml-1m"
    description = "MovieLens 1M"
    licence = "research use (GroupLens), no commercial use, no redistribution"
    licence_address = "https://files.grouplens.org/datasets/movielens/ml-1m-README.txt"
    folder = "ml-1m"
    category_file = "movies.dat"
    publisher = "https://grouplens.org/datasets/movielens/1m/"
    downloads = (
        Download(
            f"{_GROUPLENS}/movielens/ml-1m.zip",
            (DataFile("ratings.dat", "ml-1m/ratings.dat"), DataFile("movies.dat", "ml-1m/movies.dat")),
            sha256="a6898adb50b9ca05aa231689da44c217cb524e7ebd39d264c56e2832f2c54e20",
            recorded_by="SecretFlow",
        ),
    )


class MovieLensSmall2016(NamedData):
    """MovieLens latest-small of October 2016, which later releases replaced."""

    name = "ml-latest-small-2016"
    description = "MovieLens latest-small, release of October 2016 (671 users)"
    licence = "research use (GroupLens), no commercial use"
    licence_address = "https://files.grouplens.org/datasets/movielens/ml-latest-small-README.html"
    folder = "ml-latest-small"
    publisher = "https://grouplens.org/datasets/movielens/"
    reader = "movielens-csv"
    category_file = "movies.csv"
    # Posters are no part of the release; they lie here where somebody put them, one per film.
    image_folder = "posters"
    image_size = (96, 64)
    # Copies are in circulation with the line ends of the release (CR LF, the second digest) and without (LF).
    downloads = (
        Download(
            "",
            (
                DataFile(
                    "ratings.csv",
                    "ml-latest-small/ratings.csv",
                    (
                        "b4239649fbf90ebf405c56c3ae1d929d9e7c86fc1a3a80cbef1c884df593ef73",
                        "821795331fd974bbe7a8416f2a7eec2b548a485dedb47a073580b0a9a8a0a8d2",
                    ),
                ),
                DataFile(
                    "movies.csv",
                    "ml-latest-small/movies.csv",
                    (
                        "a87480009b75ecd8d1e8f70700c534b6aefd57eed31b087ce8268ef6061a166c",
                        "c89f7635ae96883eae1e6af74d982aa07397f4bcc7bb99047b75246ab458360e",
                    ),
                ),
            ),
        ),
    )


class Gowalla(NamedData):
    """Gowalla check-ins with the split of LightGCN, validation rows cut away as LightGCN++ does."""

    name = "gowalla"
    description = "Gowalla check-ins, 10-core, LightGCN split without the validation rows of LightGCN++ (RecSys 2024)"
    licence = "research use; the repository states no licence"
    licence_address = "https://github.com/geon0325/LightGCNpp"
    folder = "gowalla"
    publisher = "https://github.com/geon0325/LightGCNpp"
    downloads = (
        Download(
            f"{_LIGHTGCNPP}/gowalla/train.txt",
            (DataFile("train.txt", "", ("d47e01d060624f389956c0b2f89a1ed8c453ea158631cd2b5320c241f3e1a073",)),),
        ),
        Download(
            f"{_LIGHTGCNPP}/gowalla/test.txt",
            (DataFile("test.txt", "", ("099a2a73924e4b754dc6efd730d764f492321b53c38eb93298850c83acf57be3",)),),
        ),
    )


class Yelp(NamedData):
    """Yelp as preprocessed by the authors of APR."""

    name = "yelp"
    description = "Yelp, leave-one-out split of the APR paper (SIGIR 2018)"
    licence = "Yelp dataset terms; the repository states no licence"
    licence_address = "https://www.yelp.com/dataset"
    folder = "yelp"
    publisher = "https://github.com/hexiangnan/adversarial_personalized_ranking"
    downloads = (
        Download(f"{_APR}/yelp.train.rating", (DataFile("yelp.train.rating"),)),
        Download(f"{_APR}/yelp.test.rating", (DataFile("yelp.test.rating"),)),
    )


class Pinterest(NamedData):
    """Pinterest as preprocessed by the authors of NCF and APR."""

    name = "pinterest"
    description = "Pinterest, leave-one-out split of the NCF and APR papers (WWW 2017, SIGIR 2018)"
    licence = "Apache-2.0 in the NCF repository, which first published these files"
    licence_address = "https://github.com/hexiangnan/neural_collaborative_filtering/blob/master/LICENSE"
    folder = "pinterest"
    publisher = "https://github.com/hexiangnan/adversarial_personalized_ranking"
    downloads = (
        Download(f"{_APR}/pinterest-20.train.rating", (DataFile("pinterest-20.train.rating"),)),
        Download(f"{_APR}/pinterest-20.test.rating", (DataFile("pinterest-20.test.rating"),)),
    )


class LastFM(NamedData):
    """Last.fm listening counts of HetRec 2011."""

    name = "lastfm"
    description = "Last.fm, listening counts of 1,892 users (HetRec 2011)"
    licence = "non-commercial use"
    licence_address = "https://files.grouplens.org/datasets/hetrec2011/hetrec2011-lastfm-readme.txt"
    folder = "lastfm"
    publisher = "https://grouplens.org/datasets/hetrec-2011/"
    columns = "user=userID,item=artistID,rating=weight"
    downloads = (
        Download(
            f"{_GROUPLENS}/hetrec2011/hetrec2011-lastfm-2k.zip",
            (DataFile("user_artists.dat", "user_artists.dat"),),
            sha256="6738f48195667ff03caaab4d32ca9a3133d8cc026b7c3cdaf6ce1010e913c59c",
            recorded_by="OmniRec",
        ),
    )


#: Categories of the 2014 Amazon reviews, ratings only: name of the file, SHA-256 as OmniRec recorded it.
AMAZON_CATEGORIES = {
    "Amazon_Instant_Video": "249e1061d30db8c1230e4f3edd0523be12c37e6a8e6b9872a312cf6c326f157b",
    "Baby": "a219f779b2694f660f1ee243f2af71d63c2c9828425e716569faace305e978d1",
    "Beauty": "17d5232b90444beecfe758ce1446e5300230491f3a88ac802992ca95fc4c150f",
    "Books": "87d923ddac2aacf40c1d0e0e056dbf4bf69c9c7d41852c6b434e781e759c0707",
    "CDs_and_Vinyl": "74b503152bc8f92f389a1f841ec00361f903772e5ebb2b664ce678c023dbbceb",
    "Clothing_Shoes_and_Jewelry": "7bf571cb99abaebf380d2a231986e6df7b622ebd49b308e2506f1c0aab54b29a",
    "Digital_Music": "fdf164882460ff26fa2521e01f6a9cf8005ad252ddce308dd03519064f02d80e",
    "Electronics": "a8e5b66b7f5371d1659ff88ae4acec91604125d6850f4f7e1c418120f2f9c16c",
    "Movies_and_TV": "05fd3bbb387bca99f16b7a64a26abb736429da416e3cc0cc7423483e9ec4c265",
    "Musical_Instruments": "c541cf84fcc75d98cc595ebd856b0ebd351efce134671171c2de0d54b9573b9c",
    "Office_Products": "4cd5f3d454e744b7017ad5918e995ec2893b577c2109dbaa6d65b375092f9630",
    "Sports_and_Outdoors": "a31a27e2f0cd85b50acd002378cf1a23a0b3f2659484defb3225a836118252d4",
    "Toys_and_Games": "e28a342ca89a79036a9a840c0385a3a3342a08d3d3450ea3eaf3d544cd65d3af",
    "Video_Games": "f0ca171050c2e0f208d47f5267992476b21ab68a01439c21c8be1a4432982cfa",
}
#: The largest category, Books, has 22,507,155 rows of about 40 bytes.
_AMAZON_LIMIT = 2048 * _MIB


class AmazonReviews(NamedData):
    """A category of the 2014 Amazon reviews, ratings only; not registered itself."""

    licence = "no licence is stated; the publisher asks for a citation (McAuley et al. 2015)"
    licence_address = "https://cseweb.ucsd.edu/~jmcauley/datasets/amazon/links.html"
    publisher = "https://cseweb.ucsd.edu/~jmcauley/datasets/amazon/links.html"
    columns = "user=1,item=2,rating=3,time=4"
    category: ClassVar[str]


def amazon_reviews() -> list[type[NamedData]]:
    """Return a named data set per category of the 2014 Amazon reviews."""
    return [_amazon(category, digest) for category, digest in AMAZON_CATEGORIES.items()]


def _amazon(category: str, digest: str) -> type[NamedData]:
    name = "amazon-" + category.removeprefix("Amazon_").lower().replace("_", "-")
    file = DataFile(f"ratings_{category}.csv", limit=_AMAZON_LIMIT)
    held = {
        "__doc__": f"Amazon reviews of {category.replace('_', ' ')}.",
        "name": name,
        "description": f"Amazon reviews 2014, ratings of {category.removeprefix('Amazon_').replace('_', ' ')}",
        "folder": name,
        "category": category,
        "downloads": (Download(f"{_SNAP}/{file.name}", (file,), digest, "OmniRec", _AMAZON_LIMIT),),
    }
    return type(f"Amazon{category.replace('_', '')}", (AmazonReviews,), held)


def published() -> list[type[NamedData]]:
    """Return every named data set that is read from files."""
    named = (AmazonVideo, Gowalla, LastFM, MovieLens100K, MovieLens1M, MovieLens500, MovieLensSmall2016)
    return [*named, Pinterest, Yelp, *amazon_reviews()]
