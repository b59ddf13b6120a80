"""GDAL's description (VRT) of a raw file of bytes, so that GDAL reads it where it lies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from xml.etree.ElementTree import Element, SubElement, tostring

from odc.geo.geobox import GeoBox

from cryonet.band import Band


def vrt_of_rows(
    raw: str,
    geobox: GeoBox,
    bands: Sequence[Band],
    nodata: float,
    colours: Mapping[int, tuple[int, int, int]],
    tags: Mapping[str, str],
) -> str:
    """Return the text of a VRT that lies beside the file `raw`.

    Parameters
    ----------
    raw
        Its name: rows one after another, in each row band after band.
    geobox, bands, nodata, colours, tags
        As for `cryonet.cog.write_cog`.
    """
    height, width = geobox.shape
    root = Element("VRTDataset", rasterXSize=str(width), rasterYSize=str(height))
    SubElement(root, "SRS").text = str(geobox.crs)
    numbers = geobox.transform.to_gdal()
    SubElement(root, "GeoTransform").text = ", ".join(repr(float(number)) for number in numbers)
    metadata = SubElement(root, "Metadata")
    for key, value in tags.items():
        SubElement(metadata, "MDI", key=key).text = value
    for number, band in enumerate(bands):
        part = SubElement(
            root,
            "VRTRasterBand",
            dataType="Byte",
            band=str(number + 1),
            subClass="VRTRawRasterBand",
        )
        texts = {
            "Description": band.name,
            "UnitType": band.unit,
            "Offset": repr(band.offset),
            "Scale": repr(band.scale),
            "NoDataValue": repr(nodata),
            "ColorInterp": "Palette" if colours else "Gray" if number == 0 else "Undefined",
        }
        for name, text in texts.items():
            SubElement(part, name).text = text
        if colours:
            table = SubElement(part, "ColorTable")
            for code in range(256):
                red, green, blue = colours.get(code, (0, 0, 0))
                alpha = 255 if code in colours else 0
                SubElement(table, "Entry", c1=str(red), c2=str(green), c3=str(blue), c4=str(alpha))
        SubElement(part, "SourceFilename", relativetoVRT="1").text = raw
        places = {
            "ImageOffset": number * width,
            "PixelOffset": 1,
            "LineOffset": len(bands) * width,
        }
        for name, place in places.items():
            SubElement(part, name).text = str(place)
    return tostring(root, encoding="unicode")
